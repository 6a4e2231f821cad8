"""Ctrl-C, as a terminal sends it: to every process that runs in it."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A run whose step works in a process of its own.
RUN = """
import subprocess, sys, time
from nomad_assets.stopping import Stopped, leave, stoppable

def work():
    child = subprocess.Popen([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
    child.wait()

try:
    stoppable(work)
except Stopped as stopped:
    print("stopped", flush=True)
    leave(stopped.number, lambda: None)
"""


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_a_run_reads_no_traceback_and_leaves_no_process(asked: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    child = int(process.stdout.readline())
    if asked == signal.SIGINT:
        os.killpg(process.pid, asked)
    else:
        process.send_signal(asked)
    said, wrong = process.communicate(timeout=60)
    assert (process.returncode, said, wrong) == (128 + asked, "stopped\n", "")
    for _ in range(600):
        if not os.path.exists(f"/proc/{child}"):
            return
        time.sleep(0.1)
    raise AssertionError("the step's process is still there")


def test_a_work_that_ends_gives_its_result_and_its_error() -> None:
    from nomad_assets.stopping import stoppable

    before = signal.getsignal(signal.SIGINT)  # a shell starts what runs in the background without one
    assert stoppable(lambda: 3) == 3
    with pytest.raises(TimeoutError, match="of the work"):
        stoppable(lambda: (_ for _ in ()).throw(TimeoutError("of the work")))
    assert signal.getsignal(signal.SIGINT) is before
