"""What goes with better students: planted gains, their proxies, and no number of a handful of cells."""

from dataclasses import replace

import polars as pl
import pytest

from nomad_assets.recipe.report.blocks import Paragraph, Picture, Table
from nomad_assets.recipe.report.comparisons import Findings
from nomad_assets.recipe.report.proxies import PROXIES, dose, precision, students, what_goes_with_better_students
from nomad_assets_tests.recipe.report.planted_data import RESULT_SCHEMA, make_data, make_scores
from nomad_assets_tests.recipe.report.test_plots import values


def findings(replicates: int = 3, **changes) -> Findings:
    return Findings(make_data(replicates=replicates, benchmarks={"trivia": "triviaqa"}, **changes))


@pytest.fixture(scope="module")
def planted() -> Findings:
    return findings()


def table_of(found: Findings) -> Table:
    return next(block for block in what_goes_with_better_students(found) if isinstance(block, Table))


def test_a_gain_is_over_the_control_of_the_same_size_and_replicate():
    """Ten questions: students right on nine and five, their controls on four and five."""
    right = {("student", 0): 9, ("student", 1): 5, ("control", 0): 4, ("control", 1): 5}
    rows = [
        (kind, 16, replicate, "unmasked" if kind == "student" else None, 1.0, "trivia", f"q{i}", "exact_match", float(i < count),
         f"q{i}", "test")
        for (kind, replicate), count in right.items()
        for i in range(10)
    ]  # fmt: skip
    results = pl.DataFrame(rows, schema=RESULT_SCHEMA, orient="row")
    data = make_data(sizes=(16,), replicates=2, benchmarks={"trivia": "triviaqa"})
    found = students(Findings(replace(data, results=results, scores=make_scores(results))))
    assert found["score"].to_list() == pytest.approx([0.9, 0.5])
    assert found["gain"].to_list() == pytest.approx([0.5, 0.0])
    assert found["without_error"].to_list() == pytest.approx([72 / 96, 73 / 96])
    assert found["yield"].to_list() == pytest.approx([0.24, 0.24])


def test_what_was_planted_with_the_arm_correlates_and_what_is_constant_has_no_order(planted):
    rows = {name: (words, int(cells)) for name, words, cells in table_of(planted).rows}
    assert set(rows) == set(PROXIES.values())
    assert rows[PROXIES["without_error"]][0].startswith("+0.") and rows[PROXIES["without_error"]][1] == 12
    assert rows[PROXIES["yield"]] == ("no order: all cells are equal", 12)


def test_fewer_than_six_cells_give_no_number():
    words = {row[1] for row in table_of(findings(replicates=1)).rows}
    assert words == {"too few cells (at least 6)"}


def test_cells_without_a_control_have_no_gain():
    found = findings(control=False)
    assert students(found)["gain"].is_null().all()
    assert {row[2] for row in table_of(found).rows} == {"0"}
    assert sum(isinstance(block, Picture) for block in what_goes_with_better_students(found)) == 1


def test_it_never_speaks_of_a_cause(planted):
    said = " ".join(b.text for b in what_goes_with_better_students(planted) if isinstance(b, Paragraph))
    assert "This is no cause" in said and "may look good by luck" in said


def test_controls_are_drawn_at_no_synthetic_rows_with_every_replicate(planted):
    dots, means = values(dose(planted, students(planted)))
    controls = [dot for dot in dots if dot["model"] == "seed-only control"]
    assert len(controls) == 6 and {dot["x"] for dot in controls} == {0}
    assert len(dots) == 18 and {mark["replicates"] for mark in means} == {3} and len(means) == 6
    assert dots[0]["model"] == "masked"


def test_precision_is_drawn_in_percent_and_gains_in_points(planted):
    cells = students(planted)
    dots, _ = values(precision(planted, cells))
    assert max(dot["x"] for dot in dots) == pytest.approx(cells["without_error"].max() * 100, rel=1e-4)
    assert max(dot["y"] for dot in dots) == pytest.approx(cells["gain"].max() * 100, rel=1e-4)


def test_nothing_scored_is_said():
    found = findings(replicates=1)
    empty = Findings(replace(found.data, scores=found.data.scores.clear(), results=found.data.results.clear()))
    assert what_goes_with_better_students(empty) == [Paragraph("It takes students with a score and a measured corpus.")]
