"""The section that opens the report: whether synthetic data helped, what that is compared with, and how far to trust it."""

from collections.abc import Iterator

import polars as pl

from nomad_assets.recipe.evaluation.crossed import FEWEST_REPLICATES
from nomad_assets.recipe.evaluation.power import ALPHA, EXACT_MATCH, POWER, smallest_effect
from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.blocks import Block, Bullets, Paragraph, Picture, Table
from nomad_assets.recipe.report.comparisons import BASE, CONTROL, LOGPROB, Findings, Side, equivalent_words
from nomad_assets.recipe.report.controls import against_words, what_controls_tell
from nomad_assets.recipe.report.corpora import unfilled_target
from nomad_assets.recipe.report.formatting import ahead_words, chance, counted, gap_numbers, gap_words, listed, percent
from nomad_assets.recipe.report.large_effects import what_is_settled
from nomad_assets.recipe.report.recommendation import Group, Recommendation


def answer(findings: Findings, chosen: Recommendation) -> list[Block]:
    """The verdict on the chosen cell against its control, every pair of sides in one figure, the arms against each other, what
    to do next and the caveats."""
    blocks = [_headline(findings, chosen.best)]
    if settled := list(what_is_settled(findings.data.corpora)):
        blocks += [Paragraph("Settled, of these teachers:"), Bullets(settled)]
    if len(rows := _pooled(findings)):
        alt = "Differences with 95% intervals and a dot for each replicate: " + "; ".join(
            f"{row['label']} {gap_words(row, brief=True)}" for row in rows.iter_rows(named=True)
        )
        blocks.append(Picture.of(plots.forest(rows, _replicates(findings, rows)), f"{alt}."))
        if rows["p"].is_not_null().any():
            blocks.append(_in_numbers(rows))
    blocks.append(Paragraph(_against_all(findings)))
    if lines := list(what_controls_tell(findings, chosen.best)):
        blocks += [Paragraph("What each control tells:"), Bullets(lines)]
    for name in list(findings.arms)[1:]:
        blocks.append(
            Paragraph(f"{_arm(findings, name)} against {_arm(findings, next(iter(findings.arms)))}, size by size:")
        )
        blocks.append(Bullets(list(_verdicts(findings, name)) or ["no question in common"]))
    if steps := list(_next(findings, chosen)):
        blocks += [Paragraph("What next:"), Bullets(steps)]
    return [*blocks, Paragraph("How far to trust this:"), Bullets(_caveats(findings))]


LOOKS = {"stop: higher": "higher", "stop: lower": "lower"}
"""What a look decides as a verdict; any other ends without one."""


def _headline(findings: Findings, best: Group | None) -> Paragraph:
    """The verdict in words on the cell that was chosen on the dev questions, before the first look where there were looks."""
    best, control, row = _compared(findings, best)
    if row is None:
        return Paragraph(
            "It takes students, their seed-only control and questions that both answered.", "It cannot be told here."
        )
    cell = f"{best[0]}/{best[1]}"
    against = against_words(control, best[0])
    shares = [name for name in findings.shares if findings.found(Side("student", best[1]), CONTROL, best[0], name)]
    text = f"{cell} was chosen on the dev questions; this is of {row['n']} others, {counted(len(shares), 'benchmark')} ({listed(shares)})."
    if len(findings.controls) > 1:
        text += " Of the controls that could be had instead of synthetic rows, this one was the strongest on the dev questions."
    second = findings.found(Side("student", best[1]), control, best[0], None, LOGPROB)
    if second is not None:
        text += f" By the mean log-probability of the right answer, which has less noise: {second['verdict']}, {gap_words(second)}."
    look = findings.data.looks[-1] if findings.data.looks else None
    if row["replicates"] == 1:
        opening = (
            f"Open: one replicate cannot tell a recipe from luck. This student of {cell} is {gap_words(row)} against "
            f"{against}; the interval has the luck of the questions, not that of seeds and training."
        )
    elif row["replicates"] < FEWEST_REPLICATES:
        opening = f"Open: {row['replicates']} replicates are too few for a verdict. Students of {cell} are {gap_words(row)} against {against}."
    elif look is not None and not look.ends:
        opening = f"Open after {look.look.replicates} replicates; a run goes on. Students of {cell} are {gap_words(row)} against {against}."
    else:
        opening = {
            "higher": f"Yes: students of {cell} beat {against}, by {ahead_words(row)}.",
            "lower": f"No: students of {cell} fell behind {against}: {gap_words(row)}.",
            equivalent_words(
                findings.data.margin
            ): f"No: students of {cell} are {row['verdict']} to {against}: {gap_words(row)}.",
        }.get(
            row["verdict"] if look is None else LOOKS.get(look.decision, ""),
            f"No difference shown: students of {cell} are {gap_words(row)} against {against}"
            + (", an interval that covers zero." if row["low"] <= 0 <= row["high"] else "."),
        )
    return Paragraph(text, opening)


def _compared(findings: Findings, best: Group | None) -> tuple[Group | None, Side, dict | None]:
    """The cell of the headline, the control that it is compared with, and the comparison; None where there is none. Where there
    were looks they settled what is compared."""
    control = findings.strongest(best[0]) if best else CONTROL
    if findings.data.looks:
        look = findings.data.looks[-1]
        best, control = (look.train_size, look.arm), Side("control", look.control)
    return best, control, findings.found(Side("student", best[1]), control, best[0], None) if best else None


def _pairs(findings: Findings) -> list[tuple[Side, Side, str]]:
    """What the figure shows: every arm against the strongest control, every other arm against the first, and the other controls
    against that of seeds alone."""
    arms, strongest = [Side("student", name) for name in findings.arms], findings.strongest()
    pairs = [(arm, strongest) for arm in arms] + [(arm, arms[0]) for arm in arms[1:]]
    pairs += [(Side("control", name), CONTROL) for name in findings.controls if name is not None]
    return [(a, b, f"{a.label} − {b.label}") for a, b in pairs]


def _pooled(findings: Findings) -> pl.DataFrame:
    """The comparisons of the figure over all sizes and benchmarks, with a label."""
    found = [(label, findings.found(a, b, None, None)) for a, b, label in _pairs(findings)]
    return pl.DataFrame([{"label": label, **row} for label, row in found if row is not None], infer_schema_length=None)


def _in_numbers(pooled: pl.DataFrame) -> Table:
    """The figure as a table, with what its differences would be worth if there were none."""
    rows = [
        [
            row["label"],
            row["verdict"],
            "{} ({})".format(*gap_numbers(row)),
            chance(row["p"]),
            chance(row["p_flips"]),
            str(row["replicates"]),
        ]
        for row in pooled.iter_rows(named=True)
    ]
    caption = (
        "The figure in numbers: points with 95% intervals. p is corrected for several comparisons (Holm) but for those of controls with each "
        "other; by sign flips it is not corrected."
    )
    return Table(caption, ["Comparison", "Verdict", "Difference", "p", "p by sign flips", "Replicates"], rows, words=2)


def _replicates(findings: Findings, pooled: pl.DataFrame) -> pl.DataFrame:
    """The difference of each replicate: label, replicate, difference."""
    parts = [pl.DataFrame(schema={"label": str, "replicate": int, "difference": float})]
    for a, b, label in _pairs(findings):
        if label in pooled["label"]:
            gaps = findings.gaps(findings.side(a), findings.side(b), findings.shares, same_size=True)
            means = (
                gaps.group_by("replicate", "benchmark")
                .agg(pl.col("gap").mean())
                .group_by("replicate")
                .agg(pl.col("gap").mean())
            )
            parts.append(means.sort("replicate").select(pl.lit(label).alias("label"), "replicate", difference="gap"))
    return pl.concat(parts)


def _against_all(findings: Findings) -> str:
    sentences = ["Of these students, by the luck of the questions alone:"] if _replicates_there(findings) == 1 else []
    for other, words in ((CONTROL, "a student trained on the same seed examples alone"), (BASE, "the untouched base")):
        arms = [(name, findings.found(Side("student", name), other, None, None)) for name in findings.arms]
        found = [f"{name} {row['verdict']} ({gap_words(row, brief=True)})" for name, row in arms if row is not None]
        if found:
            sentences.append(f"Against {words}: {'; '.join(found)}.")
        else:
            sentences.append(f"There are no scores of {words} to compare with.")
    return " ".join(sentences)


def _verdicts(findings: Findings, name: str) -> Iterator[str]:
    several = len(findings.benchmarks) > 1
    first = Side("student", next(iter(findings.arms)))
    for size in [*findings.sizes, *([None] if len(findings.sizes) > 1 else [])]:
        for benchmark in [*findings.benchmarks, *([None] if several else [])]:
            row = findings.found(Side("student", name), first, size, benchmark)
            if row is None:
                continue
            place = f"{size} seed examples" if size else "all sizes"
            sentence = f"{place}, {benchmark or 'all benchmarks'}: {row['verdict']}, {gap_words(row)}"
            second = findings.found(Side("student", name), first, size, benchmark, LOGPROB)
            yield sentence + (f"; by log-probability {second['verdict']}." if second else ".")


def _next(findings: Findings, chosen: Recommendation) -> Iterator[str]:
    """What would settle what is open, with the setting that does it."""
    replicates = _replicates_there(findings)
    if 0 < replicates < FEWEST_REPLICATES:
        yield (
            f"A verdict on the recipe takes at least {FEWEST_REPLICATES} replicates, and there {'is' if replicates == 1 else 'are'} "
            f"{replicates}: set replicates = {FEWEST_REPLICATES} in the profile's grid, and run nomad-assets run, which makes the new ones alone."
        )
    _, _, row = _compared(findings, chosen.best)
    if row is not None and (replicates < FEWEST_REPLICATES or row["verdict"] == "no difference shown"):
        yield _power_line(findings, max(replicates, FEWEST_REPLICATES))
    if floors := findings.floors():
        yield (
            f"Hardly any model is right on {listed(floors)}: choose a larger base model or easier questions. nomad-assets headroom tells, "
            "without a teacher, whether more rows can help it."
        )
    unfilled = findings.data.corpora.filter(pl.col("kept") < pl.col("keep_target"))
    if len(unfilled):
        yield "Some corpora are not full: raise synthesis.target and synthesis.max_attempts, or lower curation.keep."
        yield from _like_with_like(findings.data.corpora)
    if chosen.cell is None and chosen.best is not None:
        yield (
            "Read the kept rows below. Where many are wrong, verify them (curation.min_agreement, curation.check_arithmetic, a verifier of "
            "your own) or name a better synthesis.answerer; where most are right, the base model may have nothing to learn from them."
        )


def _power_line(findings: Findings, replicates: int) -> str:
    """What the questions that were asked can show, and the command that tells what it takes to show more."""
    asked = findings.data.results.filter(split="test").select("benchmark", "cluster").n_unique()
    text = "nomad-assets power tells which questions and replicates show a smaller difference, and the hours that they take."
    if asked < 2:
        return text
    least = smallest_effect(asked, replicates, EXACT_MATCH, alpha=ALPHA, power=POWER)
    return f"{replicates} replicates of {asked} independent test questions show a difference of some {100 * least:.0f} points or more: {text}"


def _like_with_like(corpora: pl.DataFrame) -> Iterator[str]:
    """The selections that compare arms which kept different numbers of rows."""
    reached, attempts = corpora["kept"].min(), corpora["attempts"].min()
    if corpora["arm"].n_unique() < 2 or not reached:
        return
    yield (
        f"Arms kept different numbers of rows. [grid.selections.equal] keep = {reached} compares them at the number that all reach, and "
        f"[grid.selections.attempts] attempts = {attempts} at equal attempts; no corpus is written again."
    )


def _replicates_there(findings: Findings) -> int:
    return findings.comparisons["replicates"].max() or 0


def _caveats(findings: Findings) -> list[str]:
    data, notes = findings.data, []
    counts = data.results.group_by("benchmark", "split", maintain_order=True).agg(pl.col("question_id").n_unique())
    named = [f"{n} in {name}{' for choices' if split == 'dev' else ''}" for name, split, n in counts.iter_rows()]
    text = f"Questions: {listed(named)}."
    single = findings.comparisons.filter(
        (pl.col("unit") == "share") & pl.col("a").is_in(list(findings.arms))
        & pl.col("train_size").is_not_null() & pl.col("benchmark").is_not_null()
    )  # fmt: skip
    half = (single["high"] - single["low"]).median()
    if half:
        text += (
            f" On one benchmark at one size an interval reaches about {half * 50:.1f} points to either side; "
            "smaller effects cannot be seen with so few questions and replicates."
        )
    notes.append(text)
    replicates = data.results.filter(pl.col("kind") == "student")["replicate"].n_unique()
    if replicates > 1:
        notes.append(
            f"{replicates} replicates, which differ by up to {_spread(findings)} within a cell. Intervals have the luck of the "
            "questions and of seeds, training and sampling."
        )
    if looks := data.looks:
        notes.append(
            f"The answer was looked at {len(looks)} times, with {100 * looks[-1].look.spent:.2g} of 5% spent (Lan and DeMets, O'Brien–Fleming "
            f"form), on a cell that was chosen before the first look: {'; '.join(look.words() for look in looks)}. Other comparisons on this "
            "page do not count the looks."
        )
    notes.append(
        "At 95%, about one in twenty intervals misses zero where there is no difference, and this page has many; the figure's "
        "comparisons are corrected for that (Holm)."
    )
    notes += [
        unfilled_target(cell) for cell in data.corpora.iter_rows(named=True) if cell["kept"] < cell["keep_target"]
    ]
    for name, best in findings.floors().items():
        notes.append(
            f"{name}: no model has more than {percent(best)} right, so it can hardly tell models apart by "
            f"{findings.shares[name]}; read the log-probability there."
        )
    return notes


def _spread(findings: Findings) -> str:
    """Largest gap between two replicates of one size and arm, in their mean over benchmarks."""
    shares = pl.DataFrame({"benchmark": list(findings.shares), "metric": list(findings.shares.values())})
    students = findings.values.filter(kind="student", split="test").join(
        shares.cast(pl.String), on=["benchmark", "metric"]
    )
    cell = ["train_size", "arm", "replicate"]
    means = students.group_by(*cell, "benchmark").agg(pl.col("value").mean()).group_by(cell).agg(pl.col("value").mean())
    gaps = means.group_by("train_size", "arm").agg(gap=pl.col("value").max() - pl.col("value").min())
    return "an unknown amount" if gaps.is_empty() else f"{gaps['gap'].max() * 100:.1f} points"


def _arm(findings: Findings, name: str) -> str:
    weight = findings.arms[name]
    return f"{name} (the untouched model)" if weight is None else f"{name} (prompt loss weight {weight:g})"
