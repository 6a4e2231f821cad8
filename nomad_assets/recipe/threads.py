"""How long threads spin when a parallel region ends, before they sleep: one bound for every process that computes here.

torch's CPU build uses GNU OpenMP. A thread that is done waits for the others in a loop, by default 300,000 rounds (some 5
to 15 ms), then sleeps in the kernel. A training step has thousands of short regions. Beside one other busy process the
thread that is waited for is often off its core, and the one that spins keeps both the other process and that thread from
it: a step takes up to ten times as long. Sleeping at once (OMP_WAIT_POLICY=PASSIVE) mends that and costs some 15% on a
quiet machine, since waking a thread takes longer than most regions. 2,000 rounds (some 30 to 100 µs, by how long the CPU's
pause instruction takes) outlast nearly every wait between threads that all run, and are over soon when one does not: on an
AMD EPYC 1% to 3% behind long spins without other work, and a fifth more processor time than sleeping beside it. 1,000
rounds were 5% or more behind, 5,000 took half as much again beside other work.

The variable is read once, when torch loads the library. Nothing that is exported changes it later, so the package sets it
when it is imported itself, and everything of ours imports torch after that; processes that are started inherit it.
vLLM computes with Intel's OpenMP in processes of its own, for which it sets its own bound.
"""

import os
import sys
import warnings

SPINS = 2000
SPIN_COUNT, WAIT_POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"

_too_late = False


def bound_spinning() -> None:
    """Set GOMP_SPINCOUNT for this process and its children, unless it or OMP_WAIT_POLICY is set: then the user's counts."""
    global _too_late
    if os.environ.get(SPIN_COUNT) or os.environ.get(WAIT_POLICY):
        return
    os.environ[SPIN_COUNT] = str(SPINS)
    _too_late = sys.platform == "linux" and "torch" in sys.modules


def warn_of_spinning() -> None:
    """Say once where the bound came too late for this process because torch was imported before this package."""
    global _too_late
    if _too_late:
        _too_late = False
        warnings.warn(
            f"torch was imported before nomad_assets, so its threads spin while they wait: beside another busy process "
            f"training can take ten times as long. Import nomad_assets first, or set {SPIN_COUNT}={SPINS} in the environment.",
            RuntimeWarning,
            stacklevel=2,
        )
