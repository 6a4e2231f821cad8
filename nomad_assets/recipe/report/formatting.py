"""How the report words its numbers: shares as percentages, gaps in points or nats, times, counts and lists.

A gap is a row of `comparisons`. A value that is not known is an en dash; a negative number has a true minus sign.
"""

from collections.abc import Iterable, Mapping

from nomad_assets.cells import Cell
from nomad_assets.recipe.evaluation.rank_correlation import RankCorrelation
from nomad_assets.recipe.evaluation.statistics import share_interval
from nomad_assets.recipe.report.comparisons import Side


def cell_label(row: Mapping) -> str:
    """The label of a row's cell, such as 64/unmasked; replicates behind the first have theirs in it."""
    return Cell(row["train_size"], row["arm"], row["replicate"] or 0).label


def model_label(row: Mapping) -> str:
    """What a model is called, by its kind and cell."""
    if row["kind"] == "student":
        return cell_label(row)
    place = f", {cell_label({**row, 'arm': None})} seeds" if row["kind"] == "control" else ""
    return Side(row["kind"], row["arm"]).label + place


def gap_words(row: dict, *, brief: bool = False) -> str:
    """A comparison in words: `+1.2 points (95% interval −0.8 to +3.1)`."""
    unit = {"share": " points", "nats": " nats per token", "score": ""}[row["unit"]]
    difference, interval = gap_numbers(row)
    return f"{difference}{unit}, {interval}" if brief else f"{difference}{unit} (95% interval {interval})"


def ahead_words(row: dict) -> str:
    """The same where all of it is above zero and the sentence says so."""
    return gap_words(row).replace("+", "")


def gap_numbers(row: dict) -> list[str]:
    scale, digits = (100, 1) if row["unit"] == "share" else (1, 3)
    mean, low, high = (_signed(row[key] * scale, digits) for key in ("difference", "low", "high"))
    return [mean, f"{low} to {high}"]


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "−") + text


def score_words(row: dict | None, *, share: bool) -> str:
    if row is None:
        return "–"
    if share:
        return f"{percent(row['mean'])} ({row['low'] * 100:.1f} to {row['high'] * 100:.1f})"
    return f"{number(row['mean'])} ({number(row['low'])} to {number(row['high'])})"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f}%"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def chance(p: float | None) -> str:
    """A p, which is never 0."""
    return "below 0.001" if p is not None and p < 0.001 else number(p)


def ratio(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def duration(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def share_words(part: int, whole: int) -> str:
    """`12 of 20 (38.7% to 78.1%)`: a count with the 95% interval of its share."""
    if not whole:
        return "–"
    found = share_interval(part, whole)
    return f"{part} of {whole} ({percent(found.low)} to {percent(found.high)})"


def correlation(found: RankCorrelation) -> str:
    """`+0.94 (+0.43 to +1.00)`."""
    r, low, high = (_signed(value, 2) for value in (found.r, found.low, found.high))
    return f"{r} ({low} to {high})"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def listed(words: Iterable[str]) -> str:
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last
