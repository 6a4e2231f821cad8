"""The line below the title: date, version, machines and time, all of them of what was read."""

from dataclasses import replace

import polars as pl
import pytest

from nomad_assets.recipe.report.header import STEPS, steps_made, subtitle
from nomad_assets_tests.recipe.report.planted_data import make_data


@pytest.fixture(scope="module")
def data():
    return make_data(sizes=(16,), benchmarks={"trivia": "triviaqa"}, questions=8)


def line(data, *steps: tuple) -> str:
    return subtitle(replace(data, steps=pl.DataFrame(list(steps), schema=STEPS, orient="row")))


def test_the_date_is_that_of_the_newest_artifact(data):
    said = line(data, (60.0, 1_795_815_600.0, "x86_64", 2, "cpu"), (60.0, 1_795_812_000.0, "x86_64", 2, "cpu"))
    assert said == (
        "NOMAD report, profile quickstart · results up to 2026-11-27 21:40 UTC · nomad-assets 1.2.3 · 2 steps in 2.0 min "
        "(0.03 machine hours) on a CPU (x86_64) with 2 cores"
    )


def test_a_step_without_torch_ran_on_the_gpu_machine_of_the_others(data):
    said = line(data, (9000.0, 0.0, "x86_64", 16, "NVIDIA H100"), (9000.0, 0.0, "x86_64", 16, None))
    assert said.endswith("2 steps in 5.00 machine hours on NVIDIA H100 with 16 cores")


def test_several_machines_have_their_own_hours_the_longest_first(data):
    said = line(data, (3600.0, 0.0, "arm64", 8, "cpu"), (7200.0, 0.0, "x86_64", 16, "NVIDIA H100"))
    assert said.endswith(
        "2 steps in 3.00 machine hours: 2.00 machine hours on NVIDIA H100 with 16 cores and 1.00 machine hours on a CPU (arm64) "
        "with 8 cores"
    )


def test_a_report_of_nothing_names_its_version_alone(data):
    assert line(data) == "NOMAD report, profile quickstart · nomad-assets 1.2.3"


def test_what_a_host_does_not_say_is_null():
    found = steps_made([(1.0, 2.0, {"machine": "x86_64", "cpus": "2"}), (1.0, 2.0, {"cpus": "None"})])
    assert found.rows() == [(1.0, 2.0, "x86_64", 2, None), (1.0, 2.0, None, None, None)]
