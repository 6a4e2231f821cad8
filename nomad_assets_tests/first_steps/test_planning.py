"""What a grid can show before it runs: from its questions, from a pilot, and as a warning."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.first_steps.planning import Planned, planned
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.recipe.evaluation.power import EXACT_MATCH, Variances
from nomad_assets.store.local import LocalStore
from nomad_assets.store.protocol import Store
from nomad_assets_tests.profile_keys import changed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "store")


def grid_of(**settings: object) -> Grid:
    profile = load_profile("smoke")
    for key, value in settings.items():
        profile = changed(profile, key.replace("__", "."), value)
    return Grid(profile)


def test_without_a_run_defaults_and_the_profiles_own_questions_are_taken(store: Store) -> None:
    found = planned(grid_of(), store)
    assert found == Planned(1, 18, EXACT_MATCH, 0, None), "24 questions, of which a quarter is for choices"


def test_questions_that_share_a_template_count_once(store: Store) -> None:
    found = planned(
        grid_of(
            benchmarks={
                n: {**b.model_dump(), "cluster": "difficulty", "dev": 0.0}
                for n, b in load_profile("smoke").benchmarks.items()
            }
        ),
        store,
    )
    assert found.questions == 2, "one for each benchmark"


def test_a_finished_run_tells_what_a_replicate_takes(finished) -> None:
    found = planned(finished.grid, finished.store)
    seconds = [
        finished.store.require(step.name, cell).manifest.seconds
        for step, cell in finished.grid.all_places()
        if cell != Cell()
    ]
    assert found.seconds_per_replicate == pytest.approx(sum(seconds), rel=0.5) and found.pilot == 0


@pytest.mark.parametrize(
    ("replicates", "questions", "said"),
    [
        (1, 500, "grid.replicates = 1: a verdict on a recipe takes at least 5"),
        (
            5,
            40,
            "5 replicates and 40 independent test questions show a difference of 14 points or more, no smaller one",
        ),
        (12, 500, None),
        (5, None, None),
    ],
)
def test_a_grid_that_cannot_answer_is_told_so(replicates: int, questions: int | None, said: str | None) -> None:
    found = Planned(replicates, questions, Variances(0.2, 0.04, 0.4), 0, None).doubts("mine.toml")
    if said is None:
        assert found is None
    else:
        assert found.startswith(said) and found.endswith(
            "nomad-assets power --profile mine.toml tells what more replicates and questions would show"
        )


def test_the_command_says_what_it_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "lake"))
    done = CliRunner().invoke(app, ["power", "--profile", "smoke", "--effect", "8", "--plot", str(tmp_path / "p.svg")])
    assert done.exit_code == 0, done.output
    assert re.search(r"^1000 +7\.4 +5\.3", done.output, re.MULTILINE)
    assert "8 points with 18 questions: more than 200 replicates" in done.output and "18 (here)" in done.output
    assert (tmp_path / "p.svg").read_text(encoding="utf-8").startswith("<svg")
    record = json.loads(CliRunner().invoke(app, ["power", "--profile", "smoke", "--json"]).stdout)
    assert record["questions"] == 18 and np.isclose(record["deviations"]["run"], 0.04)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--alpha", "0.5", "--power", "0.5"], "the chance to show a difference is above that of an error"),
        (["--plot", "p.png"], "--plot p.png: give a file that ends in .svg"),
    ],
)
def test_impossible_wishes_end_in_a_sentence(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["power", "--profile", "smoke", *arguments])
    assert done.exit_code == 2 and said in " ".join(done.output.split())
