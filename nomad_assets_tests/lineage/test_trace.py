"""The way back from a row, an artifact or a score to seed rows and base model."""

import polars as pl
import pytest
from rich.console import Console

from benchmarks.history import CURATED, History
from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.lineage.sync import reading
from nomad_assets.lineage.trace import draw, trace
from nomad_assets.steps.synthesis import SyntheticCorpus, synthetic_corpus
from nomad_assets.store.protocol import Store


def find(store: Store, reference: str) -> dict:
    with reading(store) as connection:
        return trace(connection, store, reference)


def drawn(found: dict) -> str:
    console = Console(width=300, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(draw(found))
    return console.export_text()


def names(node: dict) -> list[str]:
    return [node["artifact_id"].split("/")[0], *(name for parent in node.get("parents", []) for name in names(parent))]


def test_a_row_leads_back_to_its_seeds_and_the_base_model(history: History, store: Store) -> None:
    found = find(store, "4/b/000003-0")
    row = found["row"]
    assert (row["verdict"], row["attempt"], row["nearest_seed"]) == ("kept", 3, history.seed_ids[history.order[3]])
    assert row["prompt"].startswith("How many of the") and row["teacher_id"].startswith("teacher_model/4/b/")
    assert set(names(found["artifact"])) == {
        "curated_corpus", "synthetic_corpus", "teacher_model", "seed_subset", "seed_examples", "base_model", "benchmark_questions",
    }  # fmt: skip
    text = drawn(found)
    assert f"seed {row['nearest_seed']}  seed/simulated.jsonl row {history.order[3] + 1}  (nearest)" in text
    assert text.count("(see above)") == 2 and "content " in text  # the subset and the pool, read twice


def test_the_seeds_are_those_of_the_subset(history: History, store: Store) -> None:
    artifact = find(store, "teacher_model/2/a")["artifact"]
    (subset,) = [parent for parent in artifact["parents"] if parent["asset"] == "seed_subset"]
    assert [seed["id"] for seed in subset["seeds"]] == [history.seed_ids[p] for p in history.order[:2]]


def test_a_score_and_an_artifact_by_its_id(history: History, store: Store) -> None:
    scores = store.require("student_scores", Cell(2, "a"))
    for reference in ("student_scores/2/a", scores.manifest.artifact_id):
        found = find(store, f"{reference}#trivia/exact_match")
        assert found["score"]["metric"] == "exact_match" and found["score"]["n"] == 100
        assert found["artifact"]["artifact_id"] == scores.manifest.artifact_id


def test_a_row_of_an_older_version(history: History, store: Store) -> None:
    old = store.require("curated_corpus", Cell(2, "a")).manifest.artifact_id
    history.generation()
    assert find(store, f"{old}#000003-0")["row"]["artifact_id"] == old
    assert find(store, "2/a/000003-0")["row"]["artifact_id"] != old


def test_a_row_that_is_written_but_not_judged(history: History, store: Store) -> None:
    table = history.curated("8/a", ["x"]).drop("verdict", "reason", "nearest_seed")
    history.publish("synthetic_corpus", Cell(8, "a"), {}, {synthetic_corpus.file_of(SyntheticCorpus): table})
    row = find(store, "8/a/000003-0")["row"]
    assert row["prompt_end"] == "completed" and "verdict" not in row


def test_a_row_that_was_judged_twice_has_the_last_verdict(history: History, store: Store) -> None:
    cell = Cell(2, "a")
    corpus, first = (store.require(name, cell) for name in ("synthetic_corpus", "curated_corpus"))
    table = history.curated(cell.label, history.seed_ids[:2]).with_columns(verdict=pl.lit("dropped"))
    again = history.publish(
        "curated_corpus", cell, {"synthetic_corpus/2/a": corpus}, {CURATED: table}
    ).manifest.artifact_id
    assert first.manifest.artifact_id != again
    found = find(store, f"{corpus.manifest.artifact_id}#000003-0")
    assert (found["row"]["verdict"], found["row"]["artifact_id"]) == ("dropped", again)
    assert f"artifact_id: {again}" in drawn(found)


def test_a_seed_row_says_where_it_came_from(history: History, store: Store) -> None:
    history.generation()
    seed = history.seed_ids[history.order[0]]
    found = find(store, seed)
    assert found["seed"]["source_row"] == history.order[0] + 1
    assert [cell["cell"] for cell in found["seed"]["cells"]] == ["2/a", "2/b", "4/a", "4/b"]
    assert "seed/simulated.jsonl" in drawn(found)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "is not in the lineage of this store; give an artifact id"),
        ("9/a/000003-0", "is not in the lineage of this store"),
        ("2/a/999999-0", "has no row '2/a/999999-0'"),
        ("student_scores/2/a#trivia/f1", "has no score 'trivia/f1'; it has trivia/exact_match"),
        ("teacher_model/2/a#x", "teacher_model has no rows or scores"),
        ("ffffffffffffffff", "no seed pool of this store ever held the row"),
        ("../../etc", "is not in the lineage of this store"),
    ],
)
def test_what_is_not_there_is_named(history: History, store: Store, reference: str, message: str) -> None:
    with pytest.raises(NomadError) as error:
        find(store, reference)
    assert message in str(error.value)


def test_a_parent_that_is_gone_is_shown(history: History, store: Store) -> None:
    import shutil

    shutil.rmtree(history.base.path)
    assert "not in this store" in drawn(find(store, "teacher_model/2/a"))


def test_characters_that_steer_a_terminal_are_written_out(history: History, store: Store) -> None:
    text = pl.lit("a\x1b[31mb\u202ec\n[bold]").alias("prompt")
    table = history.curated("2/a", ["x"]).with_columns(text)
    history.publish("curated_corpus", Cell(2, "a"), {}, {CURATED: table})
    found = find(store, "2/a/000003-0")
    assert found["row"]["prompt"] == "a\x1b[31mb\u202ec\n[bold]"
    assert "prompt: a\\x1b[31mb\\u202ec\\n[bold]" in drawn(found)
