"""The section that opens the headroom page: the verdict with its numbers, what to do next, and how far to trust it."""

from collections.abc import Iterator

from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY
from nomad_assets.recipe.evaluation.crossed import FEWEST_REPLICATES
from nomad_assets.recipe.evaluation.statistics import settling_questions
from nomad_assets.recipe.headroom.findings import LARGE, Contrast, Findings, Judged
from nomad_assets.recipe.headroom.measure import RIGHT, ROWS
from nomad_assets.recipe.headroom.votes import ANY_RIGHT, MAJORITY
from nomad_assets.recipe.report.blocks import Block, Bullets, Paragraph
from nomad_assets.recipe.report.formatting import counted, gap_words, listed, number, percent

AGAIN = "run nomad-assets headroom"


def answer(findings: Findings) -> list[Block]:
    """The verdict, the numbers it rests on, what to do next and the caveats."""
    return [
        Paragraph(_grounds(findings), _verdict(findings)),
        Paragraph(f"Verification: {_verification(findings)}"),
        Paragraph(f"Wrong rows: {_price_of_wrong_rows(findings)}"),
        Paragraph("What next:"),
        Bullets(list(_next(findings))),
        Paragraph("How far to trust this:"),
        Bullets(list(_caveats(findings))),
    ]


def row_of(contrast: Contrast) -> dict:
    """A difference as the words of `formatting` take it."""
    found = contrast.found
    if contrast.metric == LOG_PROBABILITY:
        return {"unit": "nats", "difference": found.mean, "low": found.low, "high": found.high}
    # A difference of shares ends at a hundred points, which an interval of few replicates does not know.
    return {"unit": "share", "difference": found.mean, "low": max(found.low, -1.0), "high": min(found.high, 1.0)}


def gap(contrast: Contrast, *, brief: bool = False) -> str:
    """`+4.9 points (95% interval +1.2 to +8.6)`, or in nats per token."""
    return gap_words(row_of(contrast), brief=brief)


def gaps(judged: Judged) -> str:
    """Both measures in words."""
    return " and ".join(gap(contrast) for contrast in judged.contrasts.values())


def whole(share: float) -> str:
    """A share that somebody set, in percent: 25%."""
    return f"{share * 100:.3g}%"


def _verdict(findings: Findings) -> str:
    if findings.at_ceiling:
        score = findings.score((ROWS, findings.largest, RIGHT))
        return f"Do not bother: {percent(score.mean)} of the answers are right already (95% interval from {percent(score.low)})."
    words = f"{findings.largest} gold rows against {findings.smaller}: {gap(_telling(findings.rise))}."
    if findings.rise.call == "lower":
        return f"Do not bother: more rows made the models worse. {words}"
    if findings.stopped:
        return f"Do not bother: the score has stopped rising. {words} A gain of {_margin(findings)} is ruled out."
    if findings.rise.call == "higher":
        return f"Worth trying: more rows still help. {words}"
    return f"Cannot tell: {_why_open(findings)} {words}"


def _telling(judged: Judged) -> Contrast:
    """The measure that a sentence names: right answers, or log-probability where it alone shows what is called."""
    sign = {"higher": 1, "lower": -1, "open": 0}[judged.call]
    first, *rest = judged.contrasts.values()
    shows = first.found.low > 0 if sign > 0 else first.found.high < 0 if sign < 0 else True
    return first if shows or not rest else rest[0]


def _why_open(findings: Findings) -> str:
    if findings.replicates == 1:
        return "one replicate cannot tell more data from luck."
    if _clusters(findings) < settling_questions():
        return f"the dev questions are {counted(_clusters(findings), 'cluster')}, too few to tell anything from."
    if findings.on_the_floor:
        return "no model has enough answers right for right answers to tell models apart."
    if findings.replicates < FEWEST_REPLICATES:
        return f"with {findings.replicates} replicates only large effects are called, and this is none."
    return f"neither a rise nor its end at {_margin(findings)} is shown."


def _grounds(findings: Findings) -> str:
    """What the verdict compares, and whether training on gold rows does anything at all."""
    text = (
        f"Models of {listed([str(size) for size in findings.sizes if size])} gold rows, trained in the same number of optimizer steps, "
        f"{counted(findings.replicates, 'replicate')}, were asked {counted(_questions(findings), 'dev question')} of "
        f"{listed(findings.asked)}, and no test question. The verdict takes synthetic rows to be no better than gold rows."
    )
    if len(findings.rise.contrasts) > 1:
        text += f" By both measures, {findings.largest} rows against {findings.smaller}: {gaps(findings.rise)}."
    if findings.taught is not None:
        known = {"higher": "helps", "lower": "hurts", "open": "is not shown to help"}[findings.taught.call]
        text += f" Training on all gold rows {known} against the untouched base: {gaps(findings.taught)}."
    return text


def _verification(findings: Findings) -> str:
    """What a vote among sampled answers makes of them, and what a program that knows a right answer would find."""
    if not findings.votes:
        return "no benchmark has answers that are right or wrong, so that there is nothing to vote on."
    lift, found = findings.votes[MAJORITY], findings.votes[ANY_RIGHT]
    shown = {
        "higher": "a vote lifts the model",
        "lower": "a vote is worse than the model's best guess",
        "open": "a vote is not shown to lift the model",
    }[lift.call]
    text = f"the majority of {findings.answers} sampled answers scores {gap(lift.right)} against the greedy answer: {shown}. "
    text += f"Any right of {findings.answers} scores {gap(found.right)}"
    if findings.harvest:
        return text + ": a program that recognises a right answer would find more of them, lucky guesses included."
    return text + ": too little, or too uncertain, for a program that recognises right answers to be worth writing."


def _price_of_wrong_rows(findings: Findings) -> str:
    if not findings.wrong:
        return "not measured (headroom.wrong is empty)."
    parts = []
    for wrong in findings.wrong:
        shown = {"higher": "better", "lower": "worse", "open": "not shown to differ"}[wrong.against_right.call]
        parts.append(
            f"with {whole(wrong.share)} of {findings.largest} rows wrong the model is {shown} ({gaps(wrong.against_right)})"
        )
    return f"{'; '.join(parts)}. {_break_even(findings)}"


def _break_even(findings: Findings) -> str:
    """Which precision of added rows is shown to pay, and which to cost; both ends, or neither."""
    read = [wrong for wrong in findings.wrong if wrong.precision is not None]
    if not read:
        return (
            "More rows are wrong there than were added to the next smaller size, so that no precision can be read off."
        )
    words = f"{findings.smaller} gold rows with {findings.largest - findings.smaller} more"
    pays = [wrong for wrong in read if wrong.against_fewer.call == "higher"]
    costs = [wrong for wrong in read if wrong.against_fewer.call == "lower"]
    ends = []
    if pays:
        ends.append(f"help when {whole(pays[-1].precision)} of them are right ({gaps(pays[-1].against_fewer)})")
    if costs:
        ends.append(f"hurt when {whole(costs[0].precision)} are ({gaps(costs[0].against_fewer)})")
    if not ends:
        return f"Read as {words}, no precision is shown to pay or to cost: where it breaks even cannot be told."
    return f"Read as {words}, the added rows {' and '.join(ends)}, against the {findings.smaller} alone."


def _next(findings: Findings) -> Iterator[str]:
    if findings.verdict == "worth trying":
        yield from _how_to_try(findings)
    elif findings.verdict == "do not bother":
        yield (
            "Train on the gold rows alone: nomad-assets run --until control_scores makes and scores that model. If the score is not good "
            "enough, name a larger base_model.source or write harder or other gold rows, and " + AGAIN + " again."
        )
        if findings.taught is not None and findings.taught.call != "higher":
            yield (
                "Training itself is not shown to work here: before anything else raise student.learning_rate or student.steps, and "
                f"{AGAIN} again."
            )
    else:
        yield from _how_to_tell(findings)


def _how_to_try(findings: Findings) -> Iterator[str]:
    lift = findings.votes.get(MAJORITY)
    if lift is not None and lift.call == "higher":
        yield (
            f"Let answers vote: set synthesis.responses_per_prompt = {findings.answers} and curation.min_agreement (the table below says what "
            "each threshold keeps), then run nomad-assets run."
        )
    elif findings.harvest:
        yield (
            "Voting is not shown to help, but right answers are often among the samples: write a verifier that recognises one (curation."
            f"verifiers), set synthesis.responses_per_prompt = {findings.answers}, then run nomad-assets run."
        )
    else:
        yield (
            "The model does not find right answers by itself: name a better one to answer (synthesis.answerer), then run nomad-assets run."
        )
    yield "After the first corpus, read 20 kept rows and count the right ones: below what breaks even, stop."


def _how_to_tell(findings: Findings) -> Iterator[str]:
    if findings.on_the_floor:
        yield f"Name a larger base_model.source, or easier questions, and {AGAIN} again."
    if findings.replicates < FEWEST_REPLICATES:
        yield f"Set replicates = {FEWEST_REPLICATES} under [headroom] in the profile and {AGAIN}."
    yield (
        "Ask more dev questions: raise benchmarks.NAME.dev (and headroom.questions, where it cuts them off), or give the benchmark more "
        f"questions, and {AGAIN}. An interval shrinks with the root of their number."
    )


def _caveats(findings: Findings) -> Iterator[str]:
    counts = [f"{n} of {counted(clusters, 'cluster')} in {name}" for name, (n, clusters) in findings.asked.items()]
    yield f"Dev questions: {listed(counts)}. Questions of one cluster share a template or form and count as one draw."
    if findings.replicates == 1:
        yield "One replicate: the intervals have the luck of the questions, not that of seeds and training. Nothing is called by it."
    elif findings.replicates < FEWEST_REPLICATES:
        yield (
            f"{findings.replicates} replicates: only effects of {LARGE[RIGHT] * 100:.0f} points or {number(LARGE[LOG_PROBABILITY])} nats per "
            "token, on which all replicates agree, are called. That a score has stopped rising takes "
            f"{FEWEST_REPLICATES} replicates."
        )
    if few := [name for name, (_, clusters) in findings.asked.items() if clusters == 1]:
        yield f"All dev questions of {listed(few)} are one cluster: its luck is not in the intervals."
    yield (
        "Wrong rows here have the answer of another row. A model's own mistakes are closer to right and more alike, and may cost "
        "less or more."
    )
    yield "Differences are corrected for being looked at by two measures, not for there being several on this page."


def _questions(findings: Findings) -> int:
    return sum(questions for questions, _ in findings.asked.values())


def _clusters(findings: Findings) -> int:
    return sum(clusters for _, clusters in findings.asked.values())


def _margin(findings: Findings) -> str:
    return f"{findings.margin * 100:.3g} points"
