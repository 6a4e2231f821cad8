"""What the rules that verify answers are worth, on synthetic word problems whose right answers are known.

python benchmarks/verifiers.py

Reads `labelled/word_problems.jsonl` (`sample_rows.py` and `label_rows.py` made it). Each prompt gives one row or none: with one
response a prompt its first, with k responses the first that passes, since curation drops the others as repeats of its
prompt. Intervals are 95% Wilson intervals over prompts. Writes `results/verifiers.json`.

    right among kept    precision: the share of kept rows that are right
    kept among right    recall: of the prompts with a right response, the share whose kept row is right
    dropped among wrong of the prompts whose row would be wrong without the rules, the share that keeps no wrong row
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from harness import HERE, RESULTS, machine

from nomad_assets.recipe.curation.contamination import folded
from nomad_assets.recipe.curation.rules.arithmetic import wrong_equation
from nomad_assets.recipe.curation.rules.grounding import PARTS_OF_THE_RULE
from nomad_assets.recipe.curation.rules.question import no_question
from nomad_assets.recipe.generation.synthesis import final_answer

Z = 1.959964
RESPONSES, SHARES = 4, (0.0, 0.5, 0.75, 1.0)
Check = Callable[[str, str], object]
"""What it objects to in a prompt and its response, or None."""


def _arithmetic(prompt: str, response: str) -> str | None:
    return wrong_equation(response)


def _echo(prompt: str, response: str) -> str | None:
    return response if folded(prompt) == folded(response) else None


def _no_question(prompt: str, response: str) -> str | None:
    return no_question(prompt)


def grounding(prompt: str, response: str) -> str | None:
    """Whatever part of the rule objects first."""
    return next((found for part in PARTS_OF_THE_RULE.values() if (found := part(prompt, response)) is not None), None)


ALL = (_arithmetic, _echo, _no_question, grounding)
CHECKS: dict[str, tuple[Check, ...]] = {
    "no rule": (),
    "`check_arithmetic`": (_arithmetic,),
    "`drop_echoes`": (_echo,),
    "`drop_non_questions`": (_no_question,),
    **{f"`{reason}`": (part,) for reason, part in PARTS_OF_THE_RULE.items()},
    "`check_grounding`: these four": (grounding,),
    "`check_arithmetic`, `check_grounding`": (_arithmetic, grounding),
    "all of them": ALL,
}


@dataclass(frozen=True)
class Group:
    """A prompt with its labelled responses; a response that did not end is None, and never right."""

    prompt: str
    answer: str | None
    """None where the prompt has none."""
    responses: list[str | None]
    right: list[bool]

    def first(self, count: int, share: float, checks: tuple[Check, ...]) -> int | None:
        """The response that curation keeps of the first `count`: the first one that ended, agrees and passes."""
        responses = self.responses[:count]
        answers = [None if text is None else final_answer(text) for text in responses]
        votes = Counter(answer for answer in answers if answer is not None)
        if not votes:
            return None
        majority, agreeing = votes.most_common(1)[0]
        if agreeing / count < share:
            return None
        for number, text in enumerate(responses):
            if answers[number] == majority and not any(check(self.prompt, text) is not None for check in checks):
                return number
        return None


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95% interval of a share; (0, 1) of nothing."""
    if whole == 0:
        return 0.0, 1.0
    share, z = part / whole, Z * Z / whole
    middle, half = share + z / 2, Z * sqrt(share * (1 - share) / whole + z / 4 / whole)
    return max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z))


def measure(groups: list[Group], label: str, count: int, share: float, checks: tuple[Check, ...]) -> dict:
    """Counts over prompts: kept rows and those that are right, prompts with a right response, and wrong first rows."""
    kept = [group.first(count, share, checks) for group in groups]
    right = [number is not None and group.right[number] for number, group in zip(kept, groups, strict=True)]
    bare = [group.first(count, 0.0, ()) for group in groups]
    wrong = [number is not None and not group.right[number] for number, group in zip(bare, groups, strict=True)]
    still = [number is not None and not good for number, good in zip(kept, right, strict=True)]
    return {
        "rules": label, "responses": count, "min_agreement": share, "prompts": len(groups),
        "kept": sum(number is not None for number in kept), "kept_right": sum(right),
        "with_a_right_response": sum(any(group.right[:count]) for group in groups),
        "wrong": sum(wrong), "wrong_dropped": sum(a and not b for a, b in zip(wrong, still, strict=True)),
    }  # fmt: skip


def table(found: list[dict], head: str) -> str:
    lines = [f"| {head} | kept | right among kept | kept among right | dropped among wrong |", "|---|---|---|---|---|"]
    for row in found:
        cells = [
            _share(row["kept_right"], row["kept"]), _share(row["kept_right"], row["with_a_right_response"]),
            _share(row["wrong_dropped"], row["wrong"]),
        ]  # fmt: skip
        lines.append(f"| {row['rules']} | {row['kept']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    low, high = wilson(part, whole)
    return f"{part / whole:.1%} ({low:.1%} to {high:.1%})" if whole else ""


def labelled() -> list[Group]:
    lines = (HERE / "labelled" / "word_problems.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        Group(r["prompt"], r["answer"], [x["response"] for x in r["responses"]], [x["right"] for x in r["responses"]])
        for r in rows
    ]


def main() -> None:
    groups = labelled()
    answerable = [group for group in groups if group.answer is not None]
    single, well_posed = (
        [measure(of, label, 1, 0.0, checks) for label, checks in CHECKS.items()] for of in (groups, answerable)
    )
    several = [
        measure(
            groups,
            f"{f'at least {share:.0%}' if share else 'the most frequent answer'}{label}",
            RESPONSES,
            share,
            checks,
        )
        for share in SHARES
        for label, checks in (("", ()), (", all rules", ALL))
    ]
    found = {
        "one response a prompt": single,
        "one response, prompts that have an answer": well_posed,
        f"{RESPONSES} responses a prompt, how many agree": several,
    }
    record = {"machine": machine(), "prompts": len(groups), "with_an_answer": len(answerable), "tables": found}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "verifiers.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n\n".join(table(rows, head) for head, rows in found.items()))


if __name__ == "__main__":
    main()
