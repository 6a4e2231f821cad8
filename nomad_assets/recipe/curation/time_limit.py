"""Stopping a user's function that does not come back.

In the main thread of a process a timer's signal raises inside the function, wherever it is: in a loop, a sleep, a regular
expression. Elsewhere, and on systems without that signal, the function runs in a thread of its own that is left behind when
its time is over. Code in C that never looks for signals is beyond both.
"""

import contextvars
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

AGAIN = 0.1  # seconds until the timer rings again, for a function that caught what it raised


class TooLong(BaseException):
    """No Exception, so that `except Exception` in the function does not catch it."""


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """What `work` gives. Raises TooLong when it takes longer than that."""
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        return _by_signal(seconds, work)
    return _in_a_thread(seconds, work)


def _by_signal(seconds: float, work: Callable[[], Any]) -> Any:
    def ring(*_: object) -> None:
        raise TooLong

    begun, before = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        try:
            return work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # again: it may have rung just before it was stopped
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
        if left:  # somebody else's timer, such as a test runner's
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begun), AGAIN), interval)


def _in_a_thread(seconds: float, work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(context.run(work))
        except BaseException as error:
            raised.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TooLong
    if raised:
        raise raised[0]
    return found[0]
