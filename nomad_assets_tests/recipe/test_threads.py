"""What GNU OpenMP itself says it read, in processes of their own, and the warning where that was too early."""

import os
import re
import subprocess
import sys

import pytest

from nomad_assets.recipe.threads import SPIN_COUNT, SPINS, WAIT_POLICY

COMPUTE = "from nomad_assets.recipe.models.device import device; device(); device()"


def started(code: str, **variables: str) -> tuple[int, str]:
    """Rounds that torch's threads spin in a process that runs `code`, and what it wrote to stderr."""
    environment = {k: v for k, v in os.environ.items() if k not in (SPIN_COUNT, WAIT_POLICY)}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert len(found) == 1, done.stderr
    return int(found[0]), done.stderr


@pytest.mark.parametrize(
    "module",
    ["nomad_assets", "nomad_assets.recipe.training.launch", "nomad_assets.recipe.generation.transformers_engine"],
)
def test_threads_of_a_process_that_trains_or_decodes_spin_for_the_bound(module: str) -> None:
    spins, said = started(f"import {module}, torch; {COMPUTE}")
    assert spins == SPINS
    assert "RuntimeWarning" not in said


def test_processes_that_it_starts_inherit_the_bound() -> None:
    code = "import nomad_assets, subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch'], check=True)"
    assert started(code)[0] == SPINS


def test_torch_before_us_is_warned_of_once() -> None:
    spins, said = started(f"import torch, nomad_assets; {COMPUTE}")
    assert spins != SPINS
    assert said.count("RuntimeWarning: torch was imported before nomad_assets") == 1
    assert said.count(f"{SPIN_COUNT}={SPINS}") == 1


def test_torch_before_us_with_the_bound_in_the_environment_is_fine() -> None:
    spins, said = started(f"import torch, nomad_assets; {COMPUTE}", **{SPIN_COUNT: "700"})
    assert spins == 700
    assert "RuntimeWarning" not in said


@pytest.mark.parametrize(("policy", "expected"), [("PASSIVE", 0), ("ACTIVE", 30_000_000_000)])
def test_a_policy_that_the_user_set_counts(policy: str, expected: int) -> None:
    spins, said = started(f"import nomad_assets, torch; {COMPUTE}", **{WAIT_POLICY: policy})
    assert spins == expected
    assert "RuntimeWarning" not in said
