"""Withdrawing seed rows: what they reached, and that the next run makes exactly that again, without them."""

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from nomad_assets.assets.project import Project
from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError
from nomad_assets.lineage.questions import ask
from nomad_assets.profile.load import load_profile
from nomad_assets.recipe.data.seed_pool import build_pool, content_key
from nomad_assets.recipe.data.sources import Row, Rows, read_source
from nomad_assets.retention import prune
from nomad_assets.storage import Store
from nomad_assets.withdrawal import reach, withdraw
from nomad_assets_tests.conftest import enter_home
from nomad_assets_tests.test_graph import run, write_profile


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
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A home with a whole grid of sizes 8 and 16 on a base model that does not depend on the seeds."""
    with pytest.MonkeyPatch.context() as patch:
        home = enter_home(tmp_path_factory.mktemp("made"), patch)
        path = write_profile(
            home,
            epochs="epochs = 12",
            target="target = 4",
            max_attempts="max_attempts = 16",
            bootstrap="bootstrap = 100",
        )
        text = path.read_text(encoding="utf-8").replace('source = "tiny-random"', f'source = "{tiny_model}"')
        path.write_text(text, encoding="utf-8")
        failures, _ = run(path)
    assert failures == []
    return home


@pytest.fixture
def whole(dagster_home: Path, made: Path) -> tuple[Path, Store]:
    """Its profile and its store, in a copy."""
    path = dagster_home / "own.toml"
    shutil.copy(made / "own.toml", path)
    shutil.copytree(made / "lake", dagster_home / "lake")
    return path, Store.of(load_profile(str(path)))


def versions(store: Store) -> dict[str, int]:
    return {f.rsplit("/", 1)[0]: int(f.rsplit("/v", 1)[1]) for f in sorted(store.listing())}


def holding(store: Store, text: str) -> list[Path]:
    """Tables of the store, pruned records included, in which a text stands."""
    found = []
    for path in store.root.rglob("*.parquet"):
        columns = pl.read_parquet(path).select(pl.col(pl.String))
        if any(column.str.contains(text, literal=True).any() for column in columns):
            found.append(path)
    return found


def test_the_next_run_makes_exactly_what_was_listed(whole: tuple[Path, Store]) -> None:
    path, store = whole
    pool = pl.read_parquet(store.require("seed_examples", Cell()) / "seeds.parquet")
    gone = pool.row(10, named=True)  # in the subset of 16, not in that of 8
    before = versions(store)
    listed = {f.rsplit("/", 1)[0] for f in reach(store, [gone["id"]])["artifact_id"]}
    assert versions(store) == before and store.withdrawals() == []
    assert not {"base_model", "benchmark_questions", "base_scores", "seed_subset/8", "control_model/8"} & listed
    assert {"seed_subset/16", "teacher_model/16/unmasked", "curated_corpus/8/masked", "recipe_report"} <= listed

    marked = withdraw(store, [gone["id"]], "asked for")
    assert {f.rsplit("/", 1)[0] for f in marked["artifact_id"]} == listed
    failures, said = run(path)
    assert failures == []
    again = {place for place, version in versions(store).items() if version == 2}
    assert again == listed and max(versions(store).values()) == 2
    assert "controls 8: nothing changed" in said

    for place in ("seed_examples", "seed_subset"):
        for cell in [Cell()] if place == "seed_examples" else [Cell(8), Cell(16)]:
            table = pl.read_parquet(store.require(place, cell) / "seeds.parquet")
            assert gone["id"] not in table["id"].to_list() and gone["prompt"] not in table["prompt"].to_list()
    assert reach(store, [gone["id"]]).filter("current").height == 0, "nothing current hangs on it any more"
    assert ask(store, "SELECT id, reason FROM withdrawals").rows() == [(gone["id"], "asked for")]

    failures, said = run(path)
    assert failures == [] and all("nothing changed" in line for line in said[:-1])
    assert {p.relative_to(store.root).parts[0] for p in holding(store, gone["prompt"])} == {
        "seed_examples",
        "seed_subset",
    }
    prune(store, load_profile(str(path)))
    assert holding(store, gone["prompt"]) == [], "after a prune no table holds its text"


def test_a_row_that_no_pool_ever_held_is_named_and_nothing_is_recorded(whole: tuple[Path, Store]) -> None:
    path, store = whole
    with pytest.raises(NomadError, match="no seed pool of this store ever held 0000000000000000, nonsense; ids are"):
        withdraw(store, ["nonsense", "0000000000000000"])
    assert store.withdrawals() == []
    seed = ask(store, "SELECT id FROM seeds WHERE position = 3").item()
    result = CliRunner().invoke(app, ["withdraw", seed, "--dry-run", "-p", str(path)])
    assert result.exit_code == 0 and "current    teacher_model/8/masked/" in result.stdout
    assert "current artifacts would be made again" in result.stderr and store.withdrawals() == []
    result = CliRunner().invoke(app, ["withdraw", seed, "--reason", "why", "-p", str(path)])
    assert result.exit_code == 0 and "Delete the rows in the source too" in " ".join(result.stderr.split())
    assert [w["reason"] for w in store.withdrawals()] == ["why"]

    # A parent that holds the row is no parent any more, whichever step is launched alone.
    with dg.instance_for_test() as instance:
        job = build_definitions(Project(load_profile(str(path)))).resolve_job_def("grid")
        result = job.execute_in_process(
            instance=instance, partition_key=Cell(8, "masked").partition_key, raise_on_error=False,
            asset_selection=[dg.AssetKey("synthetic_corpus")],
        )  # fmt: skip
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert (
        "its parent teacher_model/8/masked/" in said
        and "was made with a withdrawn seed row; make that one again" in said
    )


def test_rows_withdrawn_while_a_step_runs_are_not_published(
    dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    path = write_profile(dagster_home)
    store = Store.of(load_profile(str(path)))
    from nomad_assets.recipe.data import seed_pool

    build = seed_pool.build_pool

    def slow(*arguments, **named):
        store.withdraw({"time": 1.0, "reason": "", "rows": {"x": {"source": "", "key": ""}}, "artifacts": []})
        return build(*arguments, **named)

    monkeypatch.setattr(seed_pool, "build_pool", slow)
    failures, _ = run(path, until="seed_examples")
    assert len(failures) == 1 and "seed rows were withdrawn while this step ran; nothing was published" in failures[0]
    assert store.current("seed_examples", Cell()) is None
