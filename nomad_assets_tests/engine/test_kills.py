"""Wherever a step is killed, readers see whole versions alone, and the next run ends as an uninterrupted one."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_toy_world_killed_before_every_file_operation_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nomad_assets_tests.engine.killed", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == []
    # Publishing, superseding, withdrawing and pruning are among what it was killed at.
    renamed = {place.removeprefix("os.rename ").partition("/")[0] for place in found["places"] if "os.rename" in place}
    assert {"words", "sample", "loud", ".withdrawn", ".pruned", ".agreed", ".staging"} <= renamed
    assert found["operations"] > 100
