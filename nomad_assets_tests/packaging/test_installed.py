"""An installed wheel in an empty folder: the whole graph, with nothing else there."""

import json
from pathlib import Path

import pytest

from nomad_assets_tests.packaging.environments import execute

pytestmark = pytest.mark.system


def test_an_installed_wheel_runs_smoke_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    command = str(installed.with_name("nomad-assets"))
    where = execute([str(installed), "-c", "import nomad_assets; print(nomad_assets.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parents[1])

    execute([command, "run", "--profile", "smoke"], tmp_path)
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"data"}
    text = execute([command, "report", "--profile", "smoke"], tmp_path)
    assert "## Leaderboard" in text
    results = json.loads(execute([command, "check", "--profile", "smoke", "--json"], tmp_path))
    assert len(results) > 100 and not [r for r in results if r["severity"] == "ERROR" and not r["passed"]]

    made = sorted((tmp_path / "data" / "lake").rglob("manifest.json"))
    execute([command, "run", "--profile", "smoke"], tmp_path)
    assert made and sorted((tmp_path / "data" / "lake").rglob("manifest.json")) == made
