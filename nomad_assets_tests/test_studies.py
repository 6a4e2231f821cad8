"""Every number of a committed study comes out of the data that is committed beside it."""

from pathlib import Path

import pytest

from nomad_assets.profile.load import load_profile
from nomad_assets.recipe.report.archive import RESULTS, read_data
from nomad_assets.recipe.report.report import results_page
from nomad_assets_tests.smoke_grid import ROOT

STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/profile.toml"))
RESULTED = [study for study in STUDIES if (study / RESULTS).is_file()]


def name(study: Path) -> str:
    return study.name


@pytest.mark.parametrize("study", STUDIES, ids=name)
def test_a_study_has_a_plan_and_its_profile_loads(study: Path) -> None:
    profile = load_profile(str(study / "profile.toml"))
    assert profile.name == study.name and profile.grid.most_replicates >= 8
    assert (study / "PLAN.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("study", RESULTED, ids=name)
def test_results_are_written_again_from_their_data(study: Path) -> None:
    text, pictures = results_page(read_data(study / "data"))
    assert (study / RESULTS).read_text(encoding="utf-8") == text
    assert {path: (study / path).read_text(encoding="utf-8") for path in pictures} == pictures
