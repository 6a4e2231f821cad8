"""Reuse, staging, publishing, and what a step that fails says and leaves."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.plan import plan, serves
from nomad_assets.engine.runner import Made, Reused
from nomad_assets.errors import NomadError, NotMadeError
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.toy import (
    WHOLE,
    WORLD,
    Recorder,
    Style,
    loud,
    make,
    make_all,
    published,
    raises,
    world,
)

SIZE, CELL = Cell(2), Cell(2, "high")


@pytest.fixture
def made(store: LocalStore) -> LocalStore:
    """A store with everything."""
    make_all(store)
    return store


# Making and reusing.


def test_everything_is_made_once(store: LocalStore) -> None:
    listener = Recorder()
    first, second = make_all(store), make_all(store, listener)
    assert set(first.values()) == {"Made"} and set(second.values()) == {"Reused"}
    assert set(listener.events) == {"reused"}
    assert [a.manifest.version for a in store.versions("loud", CELL)] == [1]


def test_what_a_manifest_says(made: LocalStore) -> None:
    record = made.require("loud", CELL).manifest
    assert (record.asset, record.partition, record.code_version, record.seed) == ("loud", "2/high", "1", 0)
    assert record.settings == {"seed": 0, "style": {"mark": "!", "repeats": [{"times": 1}]}}
    parents = {"sample/2": made.require("sample", SIZE), "words/-": made.require("words", WHOLE)}
    assert record.parents == {place: artifact.manifest.artifact_id for place, artifact in parents.items()}
    assert set(record.reads) == set(parents) and set(record.files) == {"loud.parquet"}
    assert (
        record.started <= record.ended and record.seconds >= 0 and record.host["python"] and record.libraries["polars"]
    )


def test_force_makes_it_again_and_says_so(made: LocalStore) -> None:
    listener = Recorder()
    assert isinstance(make(made, "loud", CELL, listener, force=True), Made)
    assert listener.reasons == ["forced"] and made.require("loud", CELL).manifest.version == 2
    assert isinstance(make(made, "summary"), Reused)  # it came out equal


def test_what_changed_is_said_before_the_step_begins(made: LocalStore) -> None:
    listener = Recorder()
    make(made, "loud", CELL, listener, grid=replace(WORLD, style=Style(mark="?")))
    assert listener.reasons == ["style.mark ! → ?"]
    assert listener.told[0] == ("started", "loud [2/high]")


def test_what_is_there_already_leaves_no_stage(made: LocalStore) -> None:
    make(made, "loud", CELL)
    assert [p.name for p in made.stage_folder("loud", CELL, "x").parent.iterdir()] == ["lock"]


def test_a_setting_that_is_taken_back_makes_it_again(made: LocalStore) -> None:
    """Only the newest version serves: what is read beside it was made with the newest too."""
    make(made, "loud", CELL, grid=replace(WORLD, style=Style(mark="?")))
    assert isinstance(make(made, "loud", CELL), Made) and made.require("loud", CELL).manifest.version == 3


def test_plan_says_what_would_be_made(made: LocalStore) -> None:
    now = plan(loud, CELL, WORLD, made)
    assert serves(made.current("loud", CELL), now.wanted, now.withdrawals)
    assert not serves(None, now.wanted, now.withdrawals)
    other = plan(loud, CELL, replace(WORLD, style=Style(mark="?")), made)
    assert not serves(made.current("loud", CELL), other.wanted, other.withdrawals)


# Parents.


def test_a_missing_parent_is_named(store: LocalStore) -> None:
    make(store, "words")
    said = rf"^loud \[2/high\]: sample \[2\] has not been materialised in {store.root}; materialise it first$"
    with pytest.raises(NotMadeError, match=said):
        make(store, "loud", CELL)


def test_a_missing_optional_parent_is_passed_over(store: LocalStore) -> None:
    assert isinstance(make(store, "summary"), Made)
    assert store.require("summary", WHOLE).manifest.parents == {}


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list]:
    found: list = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long for the other thread"
        time.sleep(0.005)


def test_a_parent_that_is_made_again_while_a_step_waits_is_read_anew(store: LocalStore) -> None:
    make(store, "words")
    listener, other = Recorder(), LocalStore(store.root)
    with other.staging("sample", SIZE, "another fingerprint"):
        thread, found = in_thread(lambda: make(store, "sample", SIZE, listener))
        until(lambda: "waiting" in listener.events)
        again = make(other, "words", grid=replace(WORLD, words=["emu", "fox"])).artifact
    thread.join(60)
    assert found[0].artifact.manifest.parents == {"words/-": again.manifest.artifact_id}
    assert found[0].artifact.read("sample.parquet")["word"].to_list() == ["emu", "fox"]
    assert listener.told[0] == ("waiting", "waiting for sample [2], which another process is making")


def test_a_step_that_waited_for_its_own_artifact_reuses_it(store: LocalStore) -> None:
    make(store, "words")
    listener, hold, begun = Recorder(), threading.Event(), threading.Event()

    def slow(inputs: Inputs, out: Output) -> None:
        begun.set()
        assert hold.wait(60)

    first, of_first = in_thread(lambda: make(store, "sample", SIZE, grid=world("sample", slow)))
    assert begun.wait(60)
    second, of_second = in_thread(lambda: make(LocalStore(store.root), "sample", SIZE, listener))
    until(lambda: "waiting" in listener.events)
    hold.set()
    first.join(60)
    second.join(60)
    assert isinstance(of_first[0], Made) and isinstance(of_second[0], Reused)
    assert listener.events == ["waiting", "reused"]


# Withdrawals.


def withdraw(store: LocalStore, *ids: str, artifacts: tuple[str, ...] = ()) -> None:
    rows = {row: {"source": "s", "key": ""} for row in ids}
    store.withdraw({"time": time.time(), "reason": "asked for", "rows": rows, "artifacts": list(artifacts)})


def ids_of(store: LocalStore) -> dict[str, str]:
    places = {"words": WHOLE, "sample": SIZE, "loud": CELL, "summary": WHOLE}
    return {name: store.require(name, cell).manifest.artifact_id for name, cell in places.items()}


def test_a_parent_that_a_withdrawn_row_reached_is_refused(made: LocalStore) -> None:
    reached = ids_of(made)["words"]
    withdraw(made, "ant", artifacts=(reached,))
    said = rf"^sample \[2\]: its parent {reached} was made with a withdrawn seed row; make that one again first$"
    with pytest.raises(NomadError, match=said):
        make(made, "sample", SIZE)


def test_an_optional_parent_that_a_withdrawn_row_reached_is_passed_over(made: LocalStore) -> None:
    withdraw(made, "ant", artifacts=(ids_of(made)["loud"],))
    make(made, "summary")
    assert "loud/2/high" not in made.require("summary", WHOLE).manifest.parents


def test_what_a_withdrawn_row_reached_is_made_again_without_it(made: LocalStore) -> None:
    withdraw(made, "ant", artifacts=tuple(ids_of(made).values()))
    listener = Recorder()
    assert isinstance(make(made, "words", WHOLE, listener), Made)
    assert listener.reasons == ["made with a withdrawn seed row"]
    make(made, "sample", SIZE)
    assert made.require("sample", SIZE).read("sample.parquet")["word"].to_list() == ["bee", "cat"]
    assert isinstance(make(made, "words"), Reused)


def test_a_withdrawn_row_that_reached_nothing_makes_what_reads_the_seeds_out_of_date(made: LocalStore) -> None:
    withdraw(made, "zebra")
    listener = Recorder()
    make(made, "words", WHOLE, listener)
    assert listener.reasons == ["withdrawn [] → ['zebra']"]
    assert isinstance(make(made, "sample", SIZE), Reused)


def test_rows_that_are_withdrawn_while_a_step_runs_are_not_published(made: LocalStore) -> None:
    before = ids_of(made)
    grid = world("words", lambda inputs, out: withdraw(made, "ant"))
    with pytest.raises(NomadError, match=r"^words \[-\]: seed rows were withdrawn while this step ran; nothing was"):
        make(made, "words", grid=grid, force=True)
    assert ids_of(made) == before


# Failures.


def test_an_error_is_located_at_its_place_once(store: LocalStore) -> None:
    for text, said in (
        ("too few rows", "words [-]: too few rows"),
        ("words [-] words.parquet: odd", "words [-] words.parquet: odd"),
    ):
        with pytest.raises(NomadError) as raised:
            make(store, "words", grid=world("words", raises(NomadError(text, [{"row": 1}], {"rule": 2}))))
        assert str(raised.value) == said
        assert (raised.value.cases, raised.value.counts) == ([{"row": 1}], {"rule": 2})


def test_an_error_of_another_kind_passes_as_it_is(store: LocalStore) -> None:
    error, listener = ZeroDivisionError("division"), Recorder()
    with pytest.raises(ZeroDivisionError) as raised:
        make(store, "words", WHOLE, listener, grid=world("words", raises(error)))
    assert raised.value is error is listener.errors[0]
    assert listener.events == ["started", "failed"]


def test_a_step_that_fails_leaves_what_was_published(made: LocalStore) -> None:
    before = published(made)
    with pytest.raises(NomadError):
        make(made, "loud", CELL, grid=world("loud", raises(NomadError("no"))), force=True)
    assert published(made) == before


def test_a_retry_goes_on_in_the_same_stage(store: LocalStore) -> None:
    listener, found = Recorder(), []

    def checkpoint(inputs: Inputs, out: Output) -> None:
        found.append(sorted(p.name for p in out.scratch.glob("*")))
        out.scratch.mkdir(exist_ok=True)
        (out.scratch / f"step-{len(found)}").touch()
        if len(found) < 3:
            raise RuntimeError("killed")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            make(store, "words", WHOLE, listener, grid=world("words", checkpoint))
    made = make(store, "words", WHOLE, listener, grid=world("words", checkpoint)).artifact
    assert found == [[], ["step-1"], ["step-1", "step-2"]] and listener.resumes == [False, True, True]
    assert sorted(made.manifest.files) == ["notes/longest.txt", "refused.parquet", "words.parquet"]


def test_a_step_with_other_settings_does_not_go_on_where_another_died(store: LocalStore) -> None:
    listener, found = Recorder(), []

    def dies(inputs: Inputs, out: Output) -> None:
        found.append(out.scratch.exists())
        out.scratch.mkdir(exist_ok=True)
        raise RuntimeError("killed")

    grid = world("words", dies)
    for origin in ("garden", "forest", "garden"):
        with pytest.raises(RuntimeError):
            make(store, "words", WHOLE, listener, grid=replace(grid, origin=origin))
    assert found == [False] * 3 and listener.resumes == [False] * 3


def test_a_clock_that_is_set_back_gives_no_negative_time(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.time
    grid = world("words", lambda inputs, out: monkeypatch.setattr(time, "time", lambda: clock() - 3600))
    record = make(store, "words", grid=grid).artifact.manifest
    assert record.ended == record.started and 0 <= record.seconds < 600


def test_an_unreadable_manifest_of_a_parent_names_its_path(made: LocalStore) -> None:
    manifest = made.require("sample", SIZE) / "manifest.json"
    manifest.write_text("{")
    with pytest.raises(NomadError, match=rf"^loud \[2/high\]: {manifest}: not a readable manifest"):
        make(made, "loud", CELL)
