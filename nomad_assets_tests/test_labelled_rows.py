"""The labelled word problems in benchmarks/labelled/: the solver behind the labels, and that they say what they hold."""

import json
import subprocess
import sys
from pathlib import Path

from nomad_assets.recipe.generation.synthesis import final_answer

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_the_solver_gives_the_answer_of_every_shipped_problem() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "label_rows.py"), "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "2740 shipped problems read, 0 wrong\n"), done.stderr


def test_a_response_is_right_when_its_final_answer_is_that_of_the_prompt() -> None:
    lines = (BENCHMARKS / "labelled" / "word_problems.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 100 and len({row["prompt"] for row in rows}) == len(rows)
    for row in rows:
        for response in row["responses"]:
            said = None if response["response"] is None else final_answer(response["response"])
            assert response["right"] == (row["answer"] is not None and said == row["answer"]), row["prompt"]
