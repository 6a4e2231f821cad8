"""Which cell to use, and why; or none.

The choice is made on the dev questions, and what is said of it comes from the test questions. Worked example: 64/unmasked has
the best mean, 55.0%, and 16/unmasked has 54.0%, an interval of the difference that covers zero. The one that gives the right
answers the higher log-probability is chosen. Where the strongest control of its size is ahead of it, on either set of questions,
no cell is recommended: the seed examples alone serve better.
"""

from typing import NamedTuple

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.recipe.report.comparisons import BASE, CONTROL, Findings, Side
from nomad_assets.recipe.report.formatting import ahead_words, counted, gap_words, listed, percent

Group = tuple[int, str]
"""Train size and arm: the replicates of one choice."""


class Recommendation(NamedTuple):
    cell: str | None
    """Label of the recommended cell, such as 64/unmasked; None where the seeds alone serve better, or nothing can be said."""
    choice: str
    """The opening words."""
    why: str
    best: Group | None = None
    """What was chosen on the dev questions, recommended or not."""


def recommend(findings: Findings) -> Recommendation:
    """The best mean over benchmarks; among those not shown to be below it, log-probability decides."""
    means = _with_rows(findings, _group_means(findings, findings.shares))
    if not means:
        why = "No cell has been scored on every benchmark by a share of right answers."
        if findings.values.filter(split="dev").is_empty() and not findings.values.is_empty():
            why = "No questions were set apart for choices (benchmarks.*.dev = 0)."
        return Recommendation(None, "None.", why)
    # Python's max keeps the first of equals: sorted, so that the smaller size and lower weight win.
    groups = sorted(means, key=lambda g: (g[0], list(findings.arms).index(g[1])))
    best = max(groups, key=means.__getitem__)
    tied = [g for g in groups if g == best or not _apart(findings, best, g, findings.shares)]
    chosen, reason = _break_tie(findings, best, tied)
    over = f"mean over {counted(len(findings.shares), 'benchmark')} on the dev questions: {percent(means[chosen])}"
    if ahead := _control_ahead(findings, chosen, means[chosen]):
        return Recommendation(
            None,
            "None: train on the seeds alone.",
            f"Of {counted(len(groups), 'cell')}, {_label(chosen)} was chosen ({over}). {ahead}",
            chosen,
        )
    cell = _best_replicate(findings, chosen)
    if len(groups) == 1:
        why = f"It is the only cell that was scored on every benchmark; {over}."
    elif chosen == best:
        why = f"It has the best {over}; {counted(len(groups), 'cell')} compared."
    else:
        why = (
            f"The best mean on the dev questions is {percent(means[best])} ({_label(best)}), but {_label(chosen)} "
            f"({percent(means[chosen])}) is not shown to be below it."
        )
    why += reason + _against(findings, chosen, findings.strongest(chosen[0])) + _against(findings, chosen, BASE)
    if cell != _label(chosen):
        why += " Replicates are averaged for this choice; the label names the replicate with the best mean."
    return Recommendation(cell, f"{cell}.", why, chosen)


def _control_ahead(findings: Findings, group: Group, mean: float) -> str | None:
    """The sentence that says where the strongest control of a group's size is ahead of it; None where it is not."""
    control = findings.strongest(group[0])
    of_control = findings.mean(findings.side(control, group[0], "dev"))
    if of_control is not None and of_control >= mean:
        return f"The {control.label} of its size has {percent(of_control)} there."
    row = findings.found(Side("student", group[1]), control, group[0], None)
    if row is not None and row["difference"] <= 0:
        return f"On the test questions it is not ahead of the {control.label} of its size: {gap_words(row)}."
    return None


def _group_means(findings: Findings, metrics: dict[str, str]) -> dict[Group, float]:
    """Mean over benchmarks on the dev questions by (train size, arm), only where every benchmark was scored."""
    students = findings.values.filter(kind="student", split="dev")
    groups = students.group_by("train_size", "arm", maintain_order=True)
    means = {group: findings.mean(values, metrics) for group, values in groups if group[1] in findings.arms}
    return {group: mean for group, mean in means.items() if mean is not None}


def _with_rows(findings: Findings, means: dict[Group, float]) -> dict[Group, float]:
    """Those whose students had a synthetic row, or all where none had: without rows a student is its own control."""
    kept = findings.data.corpora.group_by("train_size", "arm").agg(pl.col("kept").sum()).filter(kept=0)
    empty = set(kept.select("train_size", "arm").iter_rows())
    return {group: mean for group, mean in means.items() if group not in empty} or means


def _apart(findings: Findings, a: Group, b: Group, metrics: dict[str, str]) -> bool:
    """Whether a is shown to be above b over the same questions, across sizes if they differ."""
    left, right = (findings.side(Side("student", name), size, "dev") for size, name in (a, b))
    result = findings.difference(left, right, metrics, same_size=False)
    return result is not None and result.verdict == "higher"


def _break_tie(findings: Findings, best: Group, tied: list[Group]) -> tuple[Group, str]:
    """The group to take among those not shown to be below the best, and the sentence that says why."""
    if len(tied) == 1:
        return best, ""
    sentence = f" {counted(len(tied), 'cell')} cannot be told apart by that metric ({listed(map(_label, tied))})"
    logprobs = {g: v for g, v in _group_means(findings, findings.logprobs).items() if g in tied}
    if len(logprobs) < len(tied):
        return best, f"{sentence}; the best mean decides."
    top = max(tied, key=logprobs.__getitem__)
    return top, f"{sentence}; {_label(top)} gives the right answers the highest log-probability, which has less noise."


def _best_replicate(findings: Findings, group: Group) -> str:
    size, name = group
    students = findings.side(Side("student", name), size, "dev")
    means = {replicate: findings.mean(values) for (replicate,), values in students.group_by("replicate")}
    # The first of equals: replicates in order.
    best = max(sorted(replicate for replicate, mean in means.items() if mean is not None), key=means.__getitem__)
    return Cell(size, name, best).label


def _against(findings: Findings, group: Group, other: Side) -> str:
    size, name = group
    row = findings.found(Side("student", name), other, size, None)
    if other.kind == "control":
        against = f"a student trained on the same {size} seed examples alone"
        against = against if other == CONTROL else f"the strongest control of {size} seed examples, {other.arm}"
    else:
        against = "the untouched base model"
    if row is None:
        return f" Whether it beats {against} is not known: there are no such scores."
    if row["verdict"] == "higher":
        return f" It beats {against} by {ahead_words(row)}."
    if row["verdict"] == "lower":
        return f" It is worse than {against}: {gap_words(row)}."
    return f" It is not shown to beat {against}: {gap_words(row)}, an interval that covers zero."


def _label(group: Group) -> str:
    return f"{group[0]}/{group[1]}"
