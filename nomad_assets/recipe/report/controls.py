"""What each control tells of the chosen cell, in a line each."""

from collections.abc import Iterator

from nomad_assets.cells import VARIANT
from nomad_assets.recipe.report.comparisons import Findings, Side
from nomad_assets.recipe.report.formatting import gap_words
from nomad_assets.recipe.report.recommendation import Group

TELLS = {
    None: "seeds alone, for as many steps: whether synthetic rows give more than longer training on what there is",
    "seeds_tuned": "seeds alone, for the number of epochs that is best on the dev questions: whether they give more than tuning",
    "prompt_loss_student": "seeds alone, with loss on the prompt too: whether the teacher's loss would do without its rows",
    "new_answers": "seeds and new answers to their prompts: whether new prompts are worth more than new answers",
    "gold": "as many further seed examples in place of synthetic rows: the ceiling",
}
SHUFFLED = "its prompts with other rows' responses: whether right responses matter, or rows that look right would do"


def against_words(control: Side, size: int) -> str:
    """What students are compared with, in a sentence."""
    alone = f"students of the same {size} seed examples alone"
    return {
        None: f"{alone}, trained for as many steps",
        "seeds_tuned": f"{alone}, trained for a tuned number of epochs",
        "prompt_loss_student": f"{alone}, trained with loss on the prompt too",
        "new_answers": f"students of the same {size} seed examples and new answers to their prompts",
    }[control.arm]


def what_controls_tell(findings: Findings, best: Group | None) -> Iterator[str]:
    """A line for each control beside seeds alone; none where that is the only one."""
    if best is None or (findings.controls == [None] and not findings.shuffled):
        return
    size, arm = best
    sides = [(arm, Side("control", name), TELLS[name]) for name in TELLS if name in findings.controls]
    whole = arm.partition(VARIANT)[0]  # shuffled are the rows that `[curation]` takes
    if whole in findings.shuffled:
        sides.append((whole, Side("student", findings.shuffled[whole]), SHUFFLED))
    for student, side, tells in sides:
        row = findings.found(Side("student", student), side, size, None)
        gap = f"{size}/{student} is {gap_words(row)} against it" if row else "there are no scores of both"
        name = side.label if side.kind == "control" else "control shuffled"
        yield f"{name} ({tells}): {gap}."
