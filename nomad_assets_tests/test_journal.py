"""What a run tells its user while it works."""

import io
import re

import pytest
from rich.console import Console

from nomad_assets.cells import Cell
from nomad_assets.cli import display as display_module
from nomad_assets.cli import journal as journal_module
from nomad_assets.cli.display import Display
from nomad_assets.cli.journal import Journal
from nomad_assets.engine.fingerprint import Change
from nomad_assets.engine.listeners import Attempt, Run
from nomad_assets.steps import GRAPH
from nomad_assets.wiring.orders import Expected

CELL = Cell(8, "masked")
WITHIN = Run("0" * 32, "test")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(journal_module, "time", found)
    monkeypatch.setattr(display_module, "time", found)
    return found


def told(*expected: tuple[str, Cell, float | None], reasons: list[str] | None = None) -> tuple[Journal, io.StringIO]:
    out = io.StringIO()
    journal = Journal(Display(Console(file=out, width=300)))
    journal.expect([Expected(GRAPH[name], cell, reasons or [], seconds) for name, cell, seconds in expected])
    return journal, out


def attempt(name: str, cell: Cell = CELL) -> Attempt:
    return Attempt(GRAPH[name], cell, WITHIN)


def test_every_step_says_why_it_is_made(clock: Clock) -> None:
    journal, out = told(("teacher_model", CELL, None))
    journal.started(attempt("teacher_model"), [], False)
    journal.started(attempt("teacher_model"), [], True)
    journal.started(
        attempt("teacher_model"), [Change("teacher.epochs", 1, 2), Change("seed_subset [8] changed")], False
    )
    journal.started(attempt("teacher_model"), [Change("forced")], False)
    assert out.getvalue().splitlines() == [
        "teacher_model [8/masked]: made for the first time",
        "teacher_model [8/masked]: made for the first time; goes on where it was interrupted",
        "teacher_model [8/masked]: teacher.epochs 1 → 2; seed_subset [8] changed",
        "teacher_model [8/masked]: forced",
    ]


def test_what_is_repaired_is_not_called_forced(clock: Clock) -> None:
    journal, out = told(("teacher_model", CELL, None), reasons=["rows.parquet is missing"])
    journal.started(attempt("teacher_model"), [Change("forced")], False)
    assert out.getvalue() == "teacher_model [8/masked]: rows.parquet is missing\n"


def test_outside_a_terminal_a_line_comes_now_and_then_with_the_time_left_of_step_and_grid(clock: Clock) -> None:
    journal, out = told(("teacher_model", CELL, 40.0), ("student_model", CELL, 300.0), ("student_scores", CELL, None))
    journal.started(attempt("teacher_model"), [], False)
    clock.now = 5.0
    journal.progressed(attempt("teacher_model"), "training", 1, 8, {"loss": 2.5, "tokens_per_second": 123.4})
    clock.now = 20.0
    journal.progressed(attempt("teacher_model"), "training", 4, 8, {"loss": 2.25, "tokens_per_second": 123.4})
    assert out.getvalue().splitlines()[1:] == [
        "  teacher_model [8/masked]: 50%, training, 2.25 loss, 123.4 tokens/s, 20 s left; "
        "grid: 0 of 3 steps, about 5 min and 1 step of unknown length left"
    ]


def test_a_total_that_grows_with_what_is_done_is_not_shown(clock: Clock) -> None:
    """Questions that a task of lm-evaluation-harness brings along are not counted beforehand."""
    journal, out = told(("student_scores", CELL, None))
    journal.started(attempt("student_scores"), [], False)
    for done in (16, 32, 49):
        clock.now += 11.0
        journal.progressed(attempt("student_scores"), "evaluation", done, max(24, done), {})
    lines = out.getvalue().splitlines()[1:]
    assert "67%, evaluation" in lines[0]
    assert all("evaluation: " in line and "%" not in line for line in lines[1:]) and "49 done" in lines[2]


def test_steps_that_were_not_needed_count_as_done_and_known_ones_teach_the_others(clock: Clock) -> None:
    journal, _ = told(*[("teacher_model", Cell(size, "masked"), None) for size in (8, 16, 32)])
    assert journal._grid_words(0) == "0 of 3 steps, time left not known yet"
    journal.took["teacher_model"] = 60.0
    journal.expect([Expected(GRAPH["teacher_model"], Cell(32, "masked"), [], None)])
    assert journal._grid_words(2) == "2 of 3 steps, about 60 s left"


def test_nothing_is_said_after_the_display_is_closed(clock: Clock) -> None:
    journal, out = told(("teacher_model", CELL, None))
    with journal.display:
        pass
    journal.waiting(attempt("teacher_model"), "waiting for teacher_model")
    journal.warned(attempt("teacher_model"), "something")
    assert not re.search(r"\S", out.getvalue())
