"""What headroom will take, from a speed that is known."""

from pathlib import Path

import pytest

from nomad_assets.first_steps.estimate import Speed
from nomad_assets.first_steps.headroom_cost import headroom_seconds
from nomad_assets.profile.load import load_profile
from nomad_assets_tests.smoke_grid import write_profile

SPEED = Speed(
    trained_per_second=100, step_seconds=0.5, token_seconds=0.01, decoded_per_second=50, open_seconds=1, start_seconds=2,
    base_seconds=3, model_bytes=1000, peak_bytes=None,
)  # fmt: skip


def test_it_counts_every_model_every_question_and_every_sampled_answer(tmp_path: Path) -> None:
    profile = load_profile(str(write_profile(tmp_path)))
    # two replicates of three trained models and the base once, two steps of eight rows, three dev questions of each benchmark
    training = 2 + 2 * (0.5 + 8 * 30 * 0.01)
    scoring = 1 + 0.8 + 6 * 5 / 50 + 6 * 30 * 0.01 / 3
    voting = 1 + 2 * 6 * 5 / 50
    found = headroom_seconds(profile, SPEED, 25, 5, {"trivia": 12, "word_problems": 12}, 400)
    assert found == pytest.approx(6 * training + 7 * scoring + 2 * voting)


def test_a_pool_of_any_size_costs_the_same_where_the_steps_are_given(tmp_path: Path) -> None:
    profile = load_profile(str(write_profile(tmp_path, sizes="questions = 3")))
    costs = {headroom_seconds(profile, SPEED, 25, 5, {"trivia": 12}, pool) for pool in (40, 4000)}
    assert len(costs) == 1
