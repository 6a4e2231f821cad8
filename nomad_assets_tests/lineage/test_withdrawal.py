"""Withdrawing seed rows: what they reached, and that the next run makes exactly that again, without them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Run
from nomad_assets.engine.runner import run
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.lineage.questions import ask
from nomad_assets.lineage.retention import prune
from nomad_assets.lineage.withdrawal import reach, withdraw
from nomad_assets.profile.load import load_profile
from nomad_assets.recipe.data.seed_pool import build_pool, content_key
from nomad_assets.recipe.data.sources import Row, Rows, read_source
from nomad_assets.steps import GRAPH, seeds
from nomad_assets.steps.seeds import SeedExamples, SeedSubset
from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.lineage.grids import run_all, short_grid

WITHIN = Run("run", "everything")


def row(number: int, prompt: str) -> Row:
    return Row("seeds.jsonl", number, None, prompt, "r")


def facts(source: str, gone: Row) -> dict:
    return {"source": source, "key": content_key(gone.prompt, gone.response).hex()}


def test_a_withdrawn_row_and_its_repeats_are_left_out_of_the_pool() -> None:
    rows = Rows([row(1, "Who?"), row(2, "What?"), row(3, "who")])
    pool, left_out = build_pool([rows], [], 0, {row(1, "Who?").id: facts("seeds.jsonl", row(1, "Who?"))})
    assert pool["prompt"].to_list() == ["What?"]
    assert left_out.select("row", "reason").rows() == [(1, "withdrawn"), (3, "repeat")]


@pytest.mark.parametrize("deleted", [False, True], ids=["in the source", "deleted from it"])
def test_the_other_rows_keep_their_order(deleted: bool) -> None:
    """Two sources of unlike size, interleaved; one row of the smaller is withdrawn."""
    many, few = ([Row(f"{n}.jsonl", i, None, f"{n} {i}?", "r") for i in range(n)] for n in (40, 7))
    pool, _ = build_pool([Rows(many), Rows(few)], [], 3)
    gone = few[2]
    left = [r for r in few if not deleted or r is not gone]
    after, _ = build_pool([Rows(many), Rows(left)], [], 3, {gone.id: facts(gone.source, gone)})
    assert after["prompt"].to_list() == [prompt for prompt in pool["prompt"] if prompt != gone.prompt]
    moved, _ = build_pool([Rows(many), Rows([r for r in few if r is not gone])], [], 3)
    assert moved["prompt"].to_list() != after["prompt"].to_list(), "this is what a plain deletion does"
    known, _ = build_pool([Rows(many), Rows([r for r in few if r is not gone])], [], 3, {gone.id: facts("", gone)})
    assert known["prompt"].to_list() == moved["prompt"].to_list(), "it was not in the pool when it was withdrawn"


def test_a_repeat_stays_out_after_the_row_was_deleted() -> None:
    gone = row(1, "Who?")
    pool, left_out = build_pool([Rows([row(2, "What?"), row(3, "who")])], [], 0, {gone.id: facts("", gone)})
    assert pool["prompt"].to_list() == ["What?"]
    assert left_out.select("row", "reason", "evidence").rows() == [(3, "withdrawn", f"repeat of {gone.id}")]


def test_a_deleted_row_keeps_its_place_under_a_limit(tmp_path: Path) -> None:
    """Otherwise the next row by hash would enter, and with it every corpus would change."""
    path = tmp_path / "own/seeds.jsonl"
    path.parent.mkdir()
    texts = [json.dumps({"prompt": f"{n}?", "response": "r"}) for n in range(20)]
    path.write_text("\n".join(texts), encoding="utf-8")
    before = read_source(str(path), limit=8).rows
    gone = before[3]
    path.write_text("\n".join(text for text in texts if f'"{gone.prompt}"' not in text), encoding="utf-8")
    withdrawn = {gone.id: facts("own/seeds.jsonl", gone)}
    assert [r.id for r in read_source(str(path), limit=8, withdrawn=withdrawn).rows] == [
        r.id for r in before if r is not gone
    ]
    assert len(read_source(str(path), limit=8).rows) == 8


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Grid, Path]:
    """A whole grid on a base model that does not depend on the seeds, and the folder of its store: 15 s of two quiet cores."""
    grid, folder = short_grid(tiny_model), tmp_path_factory.mktemp("made") / "store"
    run_all(grid, LocalStore(folder))
    return grid, folder


@pytest.fixture
def whole(made: tuple[Grid, Path], tmp_path: Path) -> tuple[Grid, LocalStore]:
    """The same with a copy of the store."""
    grid, folder = made
    shutil.copytree(folder, tmp_path / "whole")
    return grid, LocalStore(tmp_path / "whole")


def versions(store: Store) -> dict[str, int]:
    return {f.rsplit("/", 1)[0]: int(f.rsplit("/v", 1)[1]) for f in sorted(store.listing())}


def places(artifact_ids: pl.Series) -> set[str]:
    return {artifact_id.rsplit("/", 1)[0] for artifact_id in artifact_ids}


def holding(store: Store, text: str) -> Iterator[str]:
    """Keys of the store, pruned ones included, with a table in which a text stands."""
    names = {name for step in GRAPH.values() for name in step.tables}
    for pruned in (False, True):
        for key in store.listing(pruned):
            for path in filter(None, (store.file(key, name, pruned) for name in names)):
                columns = pl.read_parquet(path).select(pl.col(pl.String))
                if any(column.str.contains(text, literal=True).any() for column in columns):
                    yield key


def test_the_next_run_makes_exactly_what_was_listed(whole: tuple[Grid, LocalStore]) -> None:
    grid, store = whole
    pool = store.require("seed_examples", Cell()).read(GRAPH["seed_examples"].file_of(SeedExamples))
    gone = pool.row(10, named=True)  # in the subset of 16, not in that of 8
    before = versions(store)
    listed = places(reach(store, [gone["id"]])["artifact_id"])
    assert versions(store) == before and store.withdrawals() == []
    assert not {"base_model", "benchmark_questions", "base_scores", "seed_subset/8", "control_model/8"} & listed
    assert {"seed_subset/16", "teacher_model/16/unmasked", "curated_corpus/8/unmasked", "recipe_report"} <= listed

    marked = withdraw(store, [gone["id"]], "asked for")
    assert places(marked["artifact_id"]) == listed
    assert run_all(grid, store) == listed
    assert {place for place, version in versions(store).items() if version == 2} == listed

    for asset, table, cells in (("seed_examples", SeedExamples, [Cell()]), ("seed_subset", SeedSubset, grid.sizes)):
        for cell in cells:
            rows = store.require(asset, cell).read(GRAPH[asset].file_of(table))
            assert gone["id"] not in rows["id"].to_list() and gone["prompt"] not in rows["prompt"].to_list()
    assert reach(store, [gone["id"]]).filter("current").height == 0, "nothing current hangs on it any more"
    assert ask(store, "SELECT id, reason FROM withdrawals").rows() == [(gone["id"], "asked for")]

    assert run_all(grid, store) == set()
    assert {key.partition("/")[0] for key in holding(store, gone["prompt"])} == {"seed_examples", "seed_subset"}
    prune(grid, store)
    assert list(holding(store, gone["prompt"])) == [], "after a prune no table holds its text"


def test_a_row_that_no_pool_ever_held_is_named_and_nothing_is_recorded(whole: tuple[Grid, LocalStore]) -> None:
    _, store = whole
    with pytest.raises(NomadError, match="no seed pool of this store ever held 0000000000000000, nonsense; ids are"):
        withdraw(store, ["nonsense", "0000000000000000"])
    assert store.withdrawals() == []


def test_a_parent_that_holds_a_withdrawn_row_is_no_parent(whole: tuple[Grid, LocalStore]) -> None:
    """Whichever step is launched alone."""
    grid, store = whole
    seed = ask(store, "SELECT id FROM seeds WHERE position = 3").item()
    withdraw(store, [seed], "why")
    assert [w["reason"] for w in store.withdrawals()] == ["why"]
    with pytest.raises(
        NomadError, match=r"its parent teacher_model/8/unmasked/\w+ was made with a withdrawn seed row; make"
    ):
        run(GRAPH["synthetic_corpus"], Cell(8, "unmasked"), grid, store, [], WITHIN)


def test_what_is_withdrawn_says_where_the_row_stood_and_what_it_reads_like(whole: tuple[Grid, LocalStore]) -> None:
    """The key keeps repeats out after the row was deleted in its source."""
    _, store = whole
    row = store.require("seed_examples", Cell()).read(GRAPH["seed_examples"].file_of(SeedExamples)).row(3, named=True)
    withdraw(store, [row["id"]])
    (withdrawal,) = store.withdrawals()
    key = content_key(row["prompt"], row["response"]).hex()
    assert withdrawal["rows"] == {row["id"]: {"source": row["source"], "key": key}}
    assert set(withdrawal["artifacts"]) == set(reach(store, [row["id"]]).filter("current")["artifact_id"])


def test_there_is_nothing_to_withdraw_before_there_is_a_store(tmp_path: Path) -> None:
    with pytest.raises(NomadError, match="there is no store here yet"):
        withdraw(LocalStore(tmp_path / "none"), ["0000000000000000"])
    assert not (tmp_path / "none").exists()


def test_rows_withdrawn_while_a_step_runs_are_not_published(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments, **named):
        store.withdraw({"time": 1.0, "reason": "", "rows": {"x": {"source": "", "key": ""}}, "artifacts": []})
        return build_pool(*arguments, **named)

    monkeypatch.setattr(seeds, "build_pool", slow)
    with pytest.raises(NomadError, match="seed rows were withdrawn while this step ran; nothing was published"):
        run(GRAPH["seed_examples"], Cell(), Grid(load_profile("smoke")), store, [], WITHIN)
    assert store.current("seed_examples", Cell()) is None
