"""The way back: from an artifact, a synthetic row or a score to seed rows and base model.

What can be traced:

    synthetic_corpus/64/unmasked/3fa91c0b22d1    an artifact by its id
    curated_corpus/64/unmasked                   the current artifact of a place
    64/unmasked/000012-0                         a synthetic row of the current corpus
    curated_corpus/64/unmasked/9d…#000012-0      the same row in one version of a corpus
    student_scores/64/unmasked#trivia/f1         a score
    0a1b2c3d4e5f6071                             a seed row: where it came from
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.engine.fingerprint import flat
from nomad_assets.errors import NomadError, cut, printable
from nomad_assets.lineage.tables import TAKEN
from nomad_assets.steps.curation import CuratedCorpus, curated_corpus
from nomad_assets.steps.seeds import seed_subset
from nomad_assets.steps.synthesis import SyntheticCorpus, synthetic_corpus
from nomad_assets.store.protocol import Store

if TYPE_CHECKING:
    import duckdb
    from rich.tree import Tree

ROW = re.compile(r"(?P<cell>\d+/[\w.-]+)/(?P<row>\d+-\d+)")
SEED = re.compile(r"[0-9a-f]{16}")
SHOWN_SEEDS, LONGEST_VALUE = 5, 60  # in the terminal; --json has everything
TEXTS = {
    curated_corpus.name: curated_corpus.file_of(CuratedCorpus),
    synthetic_corpus.name: synthetic_corpus.file_of(SyntheticCorpus),
}
TEXT_COLUMNS = ("prompt", "response", "prompt_end", "response_end", "prompt_seed", "response_seed")
ARTIFACT = "SELECT * FROM artifacts WHERE artifact_id = ?"
PLACE = """SELECT artifact_id FROM current_artifacts
           WHERE asset || CASE WHEN "partition" = '-' THEN '' ELSE '/' || "partition" END = ?"""
PARENTS = "SELECT parent_id, parent_place FROM edges WHERE child_id = ? ORDER BY parent_place"
SEEDS_OF_SUBSET = """SELECT s.id, s.position, s.source, s.source_row, s.source_id FROM edges e
    JOIN seeds s ON s.artifact_id = e.parent_id JOIN subset_seeds h ON h.artifact_id = e.child_id AND h.id = s.id
    WHERE e.child_id = ? ORDER BY s.position"""
WITHDRAWN = "SELECT id, withdrawn, reason FROM withdrawals"


def trace(connection: "duckdb.DuckDBPyConnection", store: Store, reference: str) -> dict:
    """What `reference` names and everything behind it. The text of a row comes from the store, where it is not pruned.

    Keys: `artifact` (nested under `parents`; one that stands in the tree already is given by its id and
    `repeated: true`), and `row`, `score` or `seed` where the reference names one.
    Raises NomadError when nothing is found, saying what is accepted.
    """
    if SEED.fullmatch(reference):
        return _seed(connection, reference)
    row = ROW.fullmatch(reference)
    place, _, part = (f"{curated_corpus.name}/{row['cell']}", "", row["row"]) if row else reference.partition("#")
    if row and not connection.execute(PLACE, [place]).fetchall():
        place = f"{synthetic_corpus.name}/{row['cell']}"  # written, not judged yet
    artifact_id = _resolve(connection, place)
    found = {"artifact": _node(connection, artifact_id, set())}
    if not part:
        return found
    asset = found["artifact"]["asset"]
    if asset in TEXTS:
        return {"row": _row(connection, store, found["artifact"], part), **found}
    if asset in TAKEN["scores"].files:
        return {"score": _score(connection, artifact_id, part), **found}
    raise NomadError(f"{reference}: {asset} has no rows or scores to name after '#'; give {place} alone")


def _resolve(connection: "duckdb.DuckDBPyConnection", name: str) -> str:
    if connection.execute(ARTIFACT, [name]).fetchall():
        return name
    current = connection.execute(PLACE, [name]).fetchall()
    if current:
        return current[0][0]
    assets = ", ".join(
        row[0] for row in connection.execute("SELECT DISTINCT asset FROM artifacts ORDER BY 1").fetchall()
    )
    raise NomadError(
        f"{name!r} is not in the lineage of this store; give an artifact id, an asset with its cell (curated_corpus/64/unmasked), "
        f"a row (64/unmasked/000012-0), a score (student_scores/64/unmasked#trivia/f1) or a seed row's id. Assets here: {assets or 'none'}"
    )


def _record(connection: "duckdb.DuckDBPyConnection", query: str, parameters: list) -> dict | None:
    found = connection.execute(query, parameters)
    names = [column[0] for column in found.description]
    rows = found.fetchall()
    return dict(zip(names, (_plain(value) for value in rows[0]), strict=True)) if rows else None


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _node(connection: "duckdb.DuckDBPyConnection", artifact_id: str, seen: set[str]) -> dict:
    if artifact_id in seen:
        return {"artifact_id": artifact_id, "repeated": True}
    seen.add(artifact_id)
    record = _record(connection, ARTIFACT, [artifact_id])
    if record is None:
        return {"artifact_id": artifact_id, "missing": True}
    node = {key: json.loads(v) if key in ("settings", "libraries", "host") else v for key, v in record.items()}
    if node["asset"] == seed_subset.name:
        node["seeds"] = _seeds_of(connection, artifact_id)
    parents = connection.execute(PARENTS, [artifact_id]).fetchall()
    node["parents"] = [_node(connection, parent, seen) for parent, _ in parents]
    return node


def _seeds_of(connection: "duckdb.DuckDBPyConnection", subset_id: str) -> list[dict]:
    withdrawn = {row[0] for row in connection.execute(WITHDRAWN).fetchall()}
    keys = ("id", "position", "source", "source_row", "source_id")
    rows = [dict(zip(keys, row, strict=True)) for row in connection.execute(SEEDS_OF_SUBSET, [subset_id]).fetchall()]
    return [{**row, "withdrawn": True} if row["id"] in withdrawn else row for row in rows]


def _row(connection: "duckdb.DuckDBPyConnection", store: Store, artifact: dict, part: str) -> dict:
    cell = artifact["partition"]
    row_id = part if part.startswith(f"{cell}/") else f"{cell}/{part}"
    of = "artifact_id" if artifact["asset"] == curated_corpus.name else "corpus_id"
    query = f"SELECT e.* FROM examples e JOIN artifacts a USING (artifact_id) WHERE e.{of} = ? AND e.id = ?"
    judged = _record(connection, f"{query} ORDER BY a.version DESC LIMIT 1", [artifact["artifact_id"], row_id])
    text = _text(store.file(artifact["folder"], TEXTS[artifact["asset"]]), row_id)
    if judged is None and text is None:
        raise NomadError(f"{artifact['artifact_id']} has no row {row_id!r}; rows are numbered like {cell}/000012-0")
    return {"id": row_id, **(text or {}), **(judged or {})}


def _text(table: Path | None, row_id: str) -> dict | None:
    import polars as pl

    if table is None:
        return None
    found = pl.scan_parquet(table).filter(pl.col("id") == row_id).select(TEXT_COLUMNS).collect()
    return found.row(0, named=True) if found.height else None


def _score(connection: "duckdb.DuckDBPyConnection", artifact_id: str, part: str) -> dict:
    benchmark, _, metric = part.rpartition("/")
    query = "SELECT benchmark, metric, n, mean, low, high FROM scores WHERE artifact_id = ?"
    record = _record(connection, f"{query} AND benchmark = ? AND metric = ?", [artifact_id, benchmark, metric])
    if record is None:
        known = ", ".join(f"{row[0]}/{row[1]}" for row in connection.execute(query, [artifact_id]).fetchall())
        raise NomadError(f"{artifact_id} has no score {part!r}; it has {known}")
    return record


def _seed(connection: "duckdb.DuckDBPyConnection", seed_id: str) -> dict:
    query = """SELECT s.* FROM seeds s JOIN artifacts a USING (artifact_id) WHERE s.id = ? ORDER BY a.version DESC"""
    record = _record(connection, f"{query} LIMIT 1", [seed_id])
    if record is None:
        raise NomadError(f"no seed pool of this store ever held the row {seed_id}")
    cells = connection.execute("FROM cells_of_seed(?)", [seed_id]).fetchall()
    record["cells"] = [dict(zip(("cell", "nearest_rows", "nearest_kept_rows"), row, strict=True)) for row in cells]
    withdrawal = _record(connection, f"{WITHDRAWN} WHERE id = ?", [seed_id])
    if withdrawal:
        record["withdrawn"] = withdrawal["withdrawn"]
    return {"seed": record, "artifact": _node(connection, record.pop("artifact_id"), set())}


def draw(found: dict) -> "Tree":
    """The trace as a tree for the terminal."""
    from rich.markup import escape
    from rich.tree import Tree

    name = next((name for name in ("row", "score", "seed") if name in found), None)
    root = Tree(name or "", hide_root=name is None, highlight=False)
    for key, value in found.get(name, {}).items():
        if value is not None and (key, value) != ("artifact_id", found["artifact"]["artifact_id"]):
            root.add(f"{key}: {escape(_line(str(value)))}")
    _branch(root, found["artifact"], found.get("row", {}).get("nearest_seed"))
    return root


def _branch(tree: "Tree", node: dict, nearest: str | None) -> None:
    from rich.markup import escape

    if node.get("repeated"):
        tree.add(f"{escape(node['artifact_id'])} [dim](see above)[/]")
        return
    if node.get("missing"):
        tree.add(f"{escape(node['artifact_id'])} [red]not in this store[/]")
        return
    facts = [
        f"version {node['version']}",
        f"content {node['content_digest'][:12]}",
        f"fingerprint {node['fingerprint'][:12]}",
    ]
    facts += [f"{node[key]} {key}" for key in ("rows", "tokens") if node[key] is not None]
    facts.append(f"{node['seconds']:.1f} s")
    if node["pruned"]:
        facts.append("pruned")
    branch = tree.add(f"[bold]{escape(node['artifact_id'])}[/]  {', '.join(facts)}")
    settings = [
        f"{key} = {cut(str(value), LONGEST_VALUE)}"
        for key, value in flat(node["settings"])
        if value not in (None, {}, [])
    ]
    if settings:
        branch.add("[dim]" + escape(_line(", ".join(settings))) + "[/]")
    for seed in _few(node.get("seeds", []), nearest):
        branch.add(escape(seed))
    for parent in node["parents"]:
        _branch(branch, parent, nearest)


def _few(seeds: list[dict], nearest: str | None) -> list[str]:
    """A few seed rows as text, the nearest one first."""
    first = sorted(seeds, key=lambda seed: seed["id"] != nearest)[:SHOWN_SEEDS]
    lines = [
        _line(f"seed {s['id']}  {s['source']} row {s['source_row']}")
        + ("  (nearest)" if s["id"] == nearest else "")
        + ("  withdrawn" if s.get("withdrawn") else "")
        for s in first
    ]
    rest = len(seeds) - len(first)
    return [*lines, f"… and {rest} more seed rows; --json lists all"] if rest else lines


def _line(text: str) -> str:
    """Text of the data as one line that does nothing to a terminal."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
