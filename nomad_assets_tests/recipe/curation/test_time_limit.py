"""Functions that do not come back, in the main thread and in others, and what is left of the timer."""

import signal
import threading
import time

import pytest

from nomad_assets.recipe.curation.time_limit import TooLong, within


def elsewhere(work) -> object:
    """What `work` gives or raises in a thread that is not the main one."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


WHERE = {"the main thread": lambda work: work(), "another thread": elsewhere}


@pytest.mark.parametrize("where", WHERE)
def test_what_comes_back_in_time_is_given_and_what_it_raises_is_raised(where: str) -> None:
    assert WHERE[where](lambda: within(60, lambda: 3)) == 3
    with pytest.raises(KeyError, match="x"):
        WHERE[where](lambda: within(60, lambda: {}["x"]))


@pytest.mark.parametrize("where", WHERE)
def test_what_does_not_come_back_is_given_up(where: str) -> None:
    with pytest.raises(TooLong):
        WHERE[where](lambda: within(0.1, lambda: time.sleep(5)))


@pytest.fixture
def alarm():
    """A handler of somebody else's, and what it was called for."""
    rung: list[int] = []
    before, (left, interval) = (
        signal.signal(signal.SIGALRM, lambda number, _: rung.append(number)),
        signal.setitimer(signal.ITIMER_REAL, 0),
    )
    yield rung
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, left, interval)


def test_somebody_elses_timer_goes_on(alarm: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 500)
    with pytest.raises(TooLong):
        within(0.1, lambda: time.sleep(5))
    assert 0 < signal.setitimer(signal.ITIMER_REAL, 0)[0] < 500
    signal.raise_signal(signal.SIGALRM)
    assert alarm == [signal.SIGALRM]


def test_no_timer_is_left_running(alarm: list[int]) -> None:
    within(60, lambda: 3)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
