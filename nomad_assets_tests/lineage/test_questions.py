"""The README's questions, each asked; the macros' answers computed by hand."""

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

from benchmarks.history import CURATED, History
from nomad_assets.cells import Cell
from nomad_assets.engine.fingerprint import settings_of
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.lineage import documentation
from nomad_assets.lineage.questions import ask
from nomad_assets.lineage.tables import MACROS, TABLES, TAKEN, VIEWS
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import GRAPH
from nomad_assets.steps.base import BaseConfig
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.report import MARKDOWN
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

README = documentation.README.read_text(encoding="utf-8")
QUESTIONS = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("question", QUESTIONS, ids=[q.split("\n")[0][:40] for q in QUESTIONS])
def test_every_question_of_the_readme_is_answered(history: History, store: Store, question: str) -> None:
    history.generation()
    before, after = (a.manifest.artifact_id for a in store.versions("curated_corpus", Cell(2, "a")))
    names = {
        "SEED": history.seed_ids[history.order[0]],
        "ARTIFACT": history.base.manifest.artifact_id,
        "BEFORE": before,
        "AFTER": after,
    }
    for name, value in names.items():
        question = question.replace(f"'{name}'", f"'{value}'")
    answer = ask(store, question)
    assert (answer.height == 0) == ("missing_parents" in question)


def test_the_readme_lists_tables_views_and_macros_as_they_are_declared() -> None:
    assert documentation.with_tables(README) == README, "python -m nomad_assets.lineage.documentation writes them anew"
    for name in (*TABLES, *VIEWS, *(call.partition("(")[0] for call in MACROS)):
        assert f"### {name}\n" in README or f"| `{name}" in README


@pytest.mark.parametrize("name", TAKEN)
def test_columns_of_stored_tables_have_the_types_and_meanings_of_their_models(name: str, store: Store) -> None:
    """Asked of an empty table as pandera describes it; also of what is kept of a pruned one."""
    taken = TAKEN[name]
    specs = taken.table.to_schema().columns
    stored = pl.DataFrame(schema={column: spec.dtype.type for column, spec in specs.items()})  # noqa: F841
    for columns in (taken.selected(), taken.recorded()):
        query = ", ".join(f'{sql} AS "{column}"' for column, sql in columns.items())
        found = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE SELECT {query} FROM stored").fetchall()}
        declared = {column: kind for column, (kind, _) in TABLES[name][1].items() if column not in taken.own}
        assert found == declared
    for column in taken.columns:
        assert TABLES[name][1][taken.renamed.get(column, column)][1] == specs[column].description


def test_the_database_says_what_its_columns_mean(history: History, store: Store) -> None:
    query = "SELECT comment FROM duckdb_columns() WHERE table_name = 'examples' AND column_name = 'relevance'"
    assert rows(store, query) == [(CuratedCorpus.to_schema().columns["normsim_2"].description,)]


def rows(store: Store, question: str) -> list[tuple]:
    return ask(store, question).rows()


def test_reach_is_exact(history: History, store: Store) -> None:
    """The row at position 2 is in the pool and in the subset of 4; corpora are measured against the pool."""
    seed = history.seed_ids[history.order[2]]
    reached = set(rows(store, f"SELECT asset, \"partition\" FROM reached_by(['{seed}'])"))
    every_cell = {"2/a", "2/b", "4/a", "4/b"}
    assert reached == {
        ("seed_examples", "-"), ("seed_subset", "4"), ("control_model", "4"), ("control_scores", "4"),
        *((name, cell) for name in ("teacher_model", "synthetic_corpus") for cell in ("4/a", "4/b")),
        *((name, c) for name in ("curated_corpus", "corpus_profile", "student_model", "student_scores") for c in every_cell),
    }  # fmt: skip
    assert rows(store, "FROM reached_by(['0000000000000000'])") == []


def base_settings(profile: str, withdrawn: dict[str, dict]) -> dict:
    """What a manifest of base_model holds."""
    return settings_of(BaseConfig.of(Grid(load_profile(profile)), Cell(), withdrawn))


def test_a_tokenizer_trained_on_the_seeds_is_reached_too(history: History, store: Store) -> None:
    seed, other = history.seed_ids[:2]
    gone = {"source": "", "key": ""}
    history.publish("base_model", Cell(), {}, {}, settings=base_settings("smoke", {}))
    assert ("base_model", 2) in rows(store, f"SELECT asset, version FROM reached_by(['{seed}'])")
    history.publish("base_model", Cell(), {}, {}, settings=base_settings("smoke", {seed: gone}))
    found = rows(store, f"SELECT asset, version FROM reached_by(['{seed}'])")
    assert ("base_model", 2) in found and ("base_model", 3) not in found, "the third was made without it"
    assert ("base_model", 3) in rows(store, f"SELECT asset, version FROM reached_by(['{seed}', '{other}'])")
    history.publish("base_model", Cell(), {}, {}, settings=base_settings("quickstart", {}))
    found = rows(store, f"SELECT asset, version FROM reached_by(['{other}'])")
    assert ("base_model", 4) not in found, "a tokenizer that came with its model was trained on no seed row"


def report(history: History, store: Store) -> Artifact:
    """A report of everything, with all the parents that its declaration names."""
    assets = GRAPH["recipe_report"].inputs
    read = {f"{asset}/{cell.label}": store.require(asset, cell) for asset, cell in store.places() if asset in assets}
    return history.publish("recipe_report", Cell(), read, {})


def test_the_report_is_reached_through_the_pool_and_through_every_cell(history: History, store: Store) -> None:
    """The row at position 5 is in no subset."""
    made = report(history, store).manifest
    assert {place.partition("/")[0] for place in made.parents} == set(GRAPH["recipe_report"].inputs)
    pool = store.require("seed_examples", Cell()).manifest.artifact_id
    corpus = store.require("synthetic_corpus", Cell(2, "a")).manifest.artifact_id
    for above in (pool, corpus):
        assert rows(store, f"SELECT artifact_id FROM hanging_on('{above}') WHERE asset = 'recipe_report'") == [
            (made.artifact_id,)
        ]
    seed = history.seed_ids[history.order[5]]
    reached = set(rows(store, f"SELECT asset, \"partition\" FROM reached_by(['{seed}'])"))
    every_cell = {"2/a", "2/b", "4/a", "4/b"}
    assert reached == {
        ("seed_examples", "-"), ("recipe_report", "-"),
        *((name, c) for name in ("curated_corpus", "corpus_profile", "student_model", "student_scores") for c in every_cell),
    }  # fmt: skip
    assert [row[0] for row in rows(store, "FROM cost_per_kept_row")] == ["2/a", "2/b", "4/a", "4/b"]
    assert rows(store, "FROM missing_parents") == []


def test_cells_of_a_seed(history: History, store: Store) -> None:
    """Row n of a corpus is nearest to seed n modulo the train size; every third row is kept."""
    first, third = (history.seed_ids[history.order[place]] for place in (0, 2))
    assert rows(store, f"FROM cells_of_seed('{first}')") == [("2/a", 6, 2), ("2/b", 6, 2), ("4/a", 3, 1), ("4/b", 3, 1)]
    assert rows(store, f"FROM cells_of_seed('{third}')") == [("4/a", 3, 1), ("4/b", 3, 1)]


def test_drops_and_cost(history: History, store: Store) -> None:
    drops = rows(store, "SELECT reason, \"rows\", share FROM drops WHERE cell = '2/a'")
    assert sum(count for _, count, _ in drops) == 8 and sum(share for *_, share in drops) == pytest.approx(8 / 12)
    cost = rows(store, "FROM cost_per_kept_row")
    assert cost[0] == ("2/a", 4, 3.0, 720, 0.75, 720 / 4)


def test_a_kept_row_costs_as_many_tokens_in_the_report_as_in_lineage(finished, tmp_path: Path) -> None:
    store = finished.copy(tmp_path)
    cost = ask(store, "SELECT cell, kept, tokens, tokens_per_kept_row FROM cost_per_kept_row")
    text = (store.require("recipe_report", Cell()) / MARKDOWN.name).read_text(encoding="utf-8")
    table = text.partition("| Cell | Tokens per kept row |")[2].partition("\n\n")[0].splitlines()[2:]
    told = {cells[1].strip(): cells[2].strip() for line in table if (cells := line.split("|"))}
    assert told == {row["cell"]: f"{row['tokens_per_kept_row']:,.0f}" for row in cost.iter_rows(named=True)}
    corpus = store.require("synthetic_corpus", Cell(8, "unmasked")).read("corpus.parquet")
    written = corpus.unique("attempt")["prompt_tokens"].sum() + corpus["response_tokens"].sum()
    row = cost.row(by_predicate=pl.col("cell") == "8/unmasked", named=True)
    assert row["tokens"] == written and row["tokens_per_kept_row"] == pytest.approx(written / row["kept"])


def test_only_the_current_corpus_counts(history: History, store: Store) -> None:
    history.generation()
    assert [row[1] for row in rows(store, "FROM cost_per_kept_row")] == [4, 4, 4, 4]


def test_changes_between_versions(history: History, store: Store) -> None:
    before = store.require("curated_corpus", Cell(2, "a"))
    table = pl.read_parquet(before / CURATED)
    changed = table.with_columns(
        verdict=pl.when(pl.col("attempt") == 0).then(pl.lit("dropped")).otherwise("verdict"),
        prompt=pl.when(pl.col("attempt") == 1).then(pl.lit("Other?")).otherwise("prompt"),
    ).filter(pl.col("attempt") != 11)
    after = history.publish("curated_corpus", Cell(2, "a"), {}, {CURATED: changed})
    ids = (before.manifest.artifact_id, after.manifest.artifact_id)
    found = rows(store, f"SELECT id, other_text, verdict_before, verdict_after FROM corpus_changes{ids}")
    assert found == [
        ("2/a/000000-0", False, "kept", "dropped"),
        ("2/a/000001-0", True, "dropped", "dropped"),
        ("2/a/000011-0", True, "dropped", None),
    ]


def test_stale_scores(history: History, store: Store) -> None:
    seed = history.seed_ids[history.order[2]]
    found = rows(store, f"SELECT DISTINCT asset, cell FROM stale_scores('{seed}')")
    assert set(found) == {("control_scores", "4"), *(("student_scores", c) for c in ("2/a", "2/b", "4/a", "4/b"))}


@pytest.mark.parametrize(
    "question",
    [
        "SELECT CAST('x' AS INTEGER)",
        "SELECT INTERVAL 1 DAY",
        "FROM duckdb_secrets()",
        "DELETE FROM examples",
        "FROM read_csv('/etc/passwd')",
        "COPY seeds TO '/tmp/x.csv'",
        "ATTACH '/tmp/x.db'",
        "SELEC 1",
        "INSTALL httpfs",
    ],
)
def test_questions_change_nothing_and_see_no_files(history: History, store: Store, question: str) -> None:
    with pytest.raises(NomadError, match="could not be answered"):
        ask(store, question)


def test_text_in_the_data_is_no_sql(history: History, store: Store) -> None:
    assert rows(store, "SELECT count(*) FROM cells_of_seed('x'' OR 1=1 --')") == [(0,)]
