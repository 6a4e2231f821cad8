"""Ending a run when its user asks for it.

In the main thread Dagster takes a signal for a failure of the step at hand, and goes on with the next one; raised in
the middle of a backward pass it is lost altogether. In any other thread Dagster leaves signals alone. So the work gets
a thread of its own, and the main thread waits for signals.

A terminal sends Ctrl-C to every process that runs in it. What the work starts inherits a blocked SIGINT: it says nothing,
and is ended by `leave`.
"""

import concurrent.futures
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Result = TypeVar("Result")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLEAN_UP_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.2


class Stopped(BaseException):
    """The user asked to stop. The work is still running: end the process with `leave`."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def stoppable(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises. Raises Stopped on SIGINT and SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    future: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    with _handled(SIGNALS, stop):
        threading.Thread(target=run, daemon=True).start()
        # Python's handler runs once this thread wakes up. A library that hooks into SIGINT has a lock's wait go on.
        while not future.done():
            concurrent.futures.wait([future], timeout=LOOK_EVERY_SECONDS)
        return future.result()


@contextlib.contextmanager
def ending_by_exit() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as SystemExit does, so that what it cleans up is cleaned up."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handled((signal.SIGTERM, signal.SIGHUP), end):
        yield


@contextlib.contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Callable[[int, object], None]) -> Iterator[None]:
    """These signals go to `handler` within the block, and after it to whom they went before."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def leave(number: int, clean_up: Callable[[], None]) -> None:
    """End this process and all that it started, as a shell expects it after this signal.

    Nothing is waited for: what is published is whole, and what is not is found again by the next run.
    """
    import psutil

    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    threading.Timer(CLEAN_UP_SECONDS, os._exit, [128 + number]).start()
    try:
        for child in psutil.Process().children(recursive=True):
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        clean_up()
    finally:
        os._exit(128 + number)
