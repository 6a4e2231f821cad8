"""Who is told what, and that a listener never touches a step, whatever becomes of it."""

import threading

import pytest

from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.listeners import Attempt, Listener
from nomad_assets.engine.output import Output
from nomad_assets.engine.runner import Made
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import Artifact
from nomad_assets_tests.toy import WHOLE, WORLD, Recorder, ToyGrid, body, make, words


def world(*before) -> ToyGrid:
    return WORLD.changed("words", body=body(words, *before))


def fail(inputs: Inputs, out: Output) -> None:
    raise ValueError("odd")


class Broken(Listener):
    """Raises whatever it is told."""

    def __init__(self, error: BaseException, deadline: float | None = None):
        self.error, self.deadline, self.calls = error, deadline, []

    def started(self, attempt: Attempt, reasons: list, resumes: bool) -> None:
        self._raise("started")

    def progressed(self, attempt: Attempt, stage: str, done: float, total: float, facts: dict) -> None:
        self._raise("progressed")

    def warned(self, attempt: Attempt, text: str) -> None:
        self._raise("warned")

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict) -> None:
        self._raise("made")

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        self._raise("failed")

    def reused(self, attempt: Attempt, artifact: Artifact) -> None:
        self._raise("reused")

    def _raise(self, what: str) -> None:
        self.calls.append(what)
        raise self.error


class Hanging(Listener):
    """Waits for something that does not come; until it is released."""

    def __init__(self, deadline: float):
        self.deadline, self.release, self.calls = deadline, threading.Event(), []

    def started(self, attempt: Attempt, reasons: list, resumes: bool) -> None:
        self.calls.append("started")
        self.release.wait(60)

    def made(self, attempt: Attempt, artifact: Artifact, shown: dict) -> None:
        self.calls.append("made")

    def complaint(self, problem: str) -> str:
        return f"the server at home: {problem}"


def test_listeners_hear_everything_in_order(store: LocalStore) -> None:
    listener, other = Recorder(), Recorder()

    def speak(inputs: Inputs, out: Output) -> None:
        out.progress("reading", 1, 2, {})
        out.warn("few rows")

    make(store, "words", WHOLE, listener, other, grid=world(speak))
    assert listener.events == ["started", "progressed", "warned", "made"] and other.told == listener.told
    assert listener.warnings == ["few rows"]
    make(store, "words", WHOLE, listener)
    assert listener.events[4:] == ["reused"]


def test_what_was_made_and_shown_is_handed_on(store: LocalStore) -> None:
    heard = {}

    class Reader(Listener):
        def made(self, attempt: Attempt, artifact: Artifact, shown: dict) -> None:
            heard.update(place=attempt.place, parents=attempt.parents, artifact=artifact, shown=list(shown))

    made = make(store, "words", WHOLE, Reader())
    assert heard == {"place": "words [-]", "parents": {}, "artifact": made.artifact, "shown": ["preview"]}


@pytest.mark.parametrize("deadline", [None, 30.0])
def test_one_that_raises_costs_the_others_one_warning(store: LocalStore, deadline: float | None) -> None:
    broken, listener = Broken(RuntimeError("first\nsecond"), deadline), Recorder()
    assert isinstance(make(store, "words", WHOLE, broken, listener), Made)
    assert broken.calls == ["started", "made"]
    assert listener.warnings == ["Broken failed: RuntimeError: first"]
    assert listener.events == ["warned", "started", "made"]
    make(store, "words", WHOLE, broken, listener)
    assert broken.calls[2:] == ["reused"] and len(listener.warnings) == 2


def test_two_that_raise_complain_of_each_other_and_no_further(store: LocalStore) -> None:
    one, other = Broken(RuntimeError("one")), Broken(RuntimeError("other"))
    assert isinstance(make(store, "words", WHOLE, one, other), Made)
    assert [broken.calls for broken in (one, other)] == [["started", "warned", "made"], ["warned", "started", "made"]]


def test_one_that_raises_does_not_hide_why_a_step_failed(store: LocalStore) -> None:
    broken, listener = Broken(RuntimeError("down")), Recorder()
    with pytest.raises(ValueError, match="odd") as raised:
        make(store, "words", WHOLE, broken, listener, grid=world(fail))
    assert broken.calls == ["started", "failed"] and listener.errors == [raised.value]


def test_a_long_error_is_cut(store: LocalStore) -> None:
    listener = Recorder()
    make(store, "words", WHOLE, Broken(RuntimeError("x" * 5000)), listener)
    assert len(listener.warnings[0]) < 400 and "characters left out" in listener.warnings[0]


def test_one_whose_complaint_raises_is_passed_over(store: LocalStore) -> None:
    class Mute(Broken):
        def complaint(self, problem: str) -> str:
            raise RuntimeError("no words")

    listener = Recorder()
    assert isinstance(make(store, "words", WHOLE, Mute(RuntimeError("down")), listener), Made)
    assert listener.events == ["started", "made"]


def test_one_that_hangs_is_given_up_for_the_rest_of_the_step(store: LocalStore) -> None:
    hanging, listener = Hanging(deadline=0.05), Recorder()
    try:
        assert isinstance(make(store, "words", WHOLE, hanging, listener), Made)
        assert hanging.calls == ["started"]
        assert listener.warnings == ["the server at home: TimeoutError: no answer within 0.05 s"]
    finally:
        hanging.release.set()
    make(store, "words", WHOLE, hanging, force=True)
    assert hanging.calls == ["started", "started", "made"]  # the next step tries it again


def test_one_that_is_slow_is_waited_for(store: LocalStore) -> None:
    hanging, listener = Hanging(deadline=60), Recorder()
    threading.Timer(0.1, hanging.release.set).start()
    make(store, "words", WHOLE, hanging, listener)
    assert hanging.calls == ["started", "made"] and listener.warnings == []


def test_one_without_a_deadline_is_told_in_the_thread_of_the_step(store: LocalStore) -> None:
    """Dagster's event log is written by the thread that runs the step."""
    threads = []

    class Here(Listener):
        def started(self, attempt: Attempt, reasons: list, resumes: bool) -> None:
            threads.append(threading.current_thread())

    class Elsewhere(Here):
        deadline = 30.0

    make(store, "words", WHOLE, Here(), Elsewhere())
    assert threads[0] is threading.current_thread() is not threads[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_stops_a_step_is_told_and_goes_on(store: LocalStore, error: BaseException) -> None:
    listener = Recorder()

    def stop(inputs: Inputs, out: Output) -> None:
        raise error

    with pytest.raises(type(error)):
        make(store, "words", WHOLE, listener, grid=world(stop))
    assert listener.errors == [error] and store.current("words", WHOLE) is None


def test_what_stops_the_telling_does_not_take_back_what_was_made(store: LocalStore) -> None:
    listener = Recorder()

    class Stopped(Listener):
        def made(self, attempt: Attempt, artifact: Artifact, shown: dict) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(store, "words", WHOLE, listener, Stopped())
    assert listener.events == ["started", "made"] and store.current("words", WHOLE) is not None


def test_a_listener_works_everywhere_unless_it_says_otherwise() -> None:
    assert Listener().problem() is None


def test_one_that_does_not_listen_to_progress_gets_no_thread_for_it(store: LocalStore, monkeypatch) -> None:
    """A training run tells of a hundred thousand steps."""

    class Remote(Listener):
        deadline = 30.0

    def progress(inputs: Inputs, out: Output) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread was started"))
            out.progress("training", 1, 2, {})

    assert isinstance(make(store, "words", WHOLE, Remote(), grid=world(progress)), Made)
