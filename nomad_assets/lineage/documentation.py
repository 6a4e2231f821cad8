"""The list of tables in README.md, made from their declarations.

python -m nomad_assets.lineage.documentation    # writes it anew
"""

from pathlib import Path

from nomad_assets.lineage.tables import MACROS, TABLES, VIEWS

README = Path(__file__).parent / "README.md"
BEGIN = "## Tables\n"


def tables_as_markdown() -> str:
    """Everything in README.md from its heading "Tables" on."""
    parts = [
        BEGIN,
        "The same words stand in the file itself: `SELECT table_name, column_name, comment FROM duckdb_columns()`.\n",
    ]
    for table, (about, columns) in TABLES.items():
        rows = [f"| {name} | {kind} | {meaning} |" for name, (kind, meaning) in columns.items()]
        parts += [f"### {table}\n", f"{about}\n", _table(("column", "type", "meaning"), rows)]
    rows = [f"| `{name}` | {about} |" for name, (about, _) in {**VIEWS, **MACROS}.items()]
    return "\n".join([*parts, "## Views and macros\n", _table(("name", "what it answers"), rows)])


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows, ""])


def with_tables(readme: str) -> str:
    """A README whose list of tables is the declared one."""
    return readme.partition(BEGIN)[0] + tables_as_markdown()


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
