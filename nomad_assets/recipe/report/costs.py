"""The section on what each cell asked its teacher for, what was kept of it, how much of that can be right, and what it took."""

import numpy as np
import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.recipe.curation.signs import switches
from nomad_assets.recipe.report.blocks import Block, Bullets, Columns, Paragraph, Table
from nomad_assets.recipe.report.corpora import example, in_order, unfilled_target
from nomad_assets.recipe.report.formatting import cell_label, duration, listed, number, ratio, share_words
from nomad_assets.recipe.report.report_data import STEP_SECONDS, ReportData

SHOWN_ROWS = 5
"""Kept rows shown of each arm."""


def costs(data: ReportData, recommended: str | None) -> list[Block]:
    """Two tables with a row for each cell, and a few kept rows of each arm."""
    text = (
        "A prompt is completed when the teacher ends its turn by itself. A teacher that was never trained on prompts "
        "often cannot, which is the first thing to look at when an arm runs short."
    )
    unfilled = [unfilled_target(c) for c in data.corpora.iter_rows(named=True) if c["kept"] < c["keep_target"]]
    signs = (
        f"No sign of error counts the kept rows to which no rule that looks for errors objects ({listed(switches())}), whether or not the "
        "profile switches it on. That is an upper bound on the share of right rows: a rule finds only what it looks "
        "for, and a response without a calculation shows nothing. How many rows that a rule keeps are right (precision), and how many "
        "right rows it keeps (recall), is measured in benchmarks/README.md, “Verifiers”."
    )
    return [
        Paragraph(text), *([Bullets(unfilled)] if unfilled else []), Paragraph(signs), _yields(data), _prices(data),
        *_kept_rows(data, recommended),
    ]  # fmt: skip


def tokens_per(cell: dict, rows: str) -> float | None:
    """All tokens written in a cell, prompts and responses of all attempts, per row that its column `rows` counts; None where
    there is no such row."""
    return (cell["prompt_tokens"] + cell["response_tokens"]) / cell[rows] if cell[rows] else None


def _yields(data: ReportData) -> Table:
    several = not data.corpora.is_empty() and data.corpora["agreement_kept"].is_not_null().any()
    rows = [
        [cell_label(c), str(c["attempts"]), ratio(c["prompts_completed"], c["attempts"]), str(c["completed"])]
        + [f"{c['kept']} of {c['keep_target']}", share_words(c["kept_without_error"], c["kept"])]
        + [ratio(c["kept"], c["attempts"])]
        + ([number(c["agreement_kept"])] if several else [])
        for c in in_order(data.corpora).iter_rows(named=True)
    ]
    header = ["Cell", "Attempts", "Prompts completed", "Completed rows", "Kept", "No sign of error", "Yield"]
    caption = "No sign of error: the count, and the 95% interval (Wilson) of its share. Yield is kept rows per attempt."
    if several:
        header.append("Agreement")
        caption += " Agreement: mean share of a prompt's responses with a kept row's answer."
    return Table(caption, header, rows)


def _prices(data: ReportData) -> Table:
    rows = []
    for c in in_order(data.corpora).iter_rows(named=True):
        seconds = [c[step] for step in STEP_SECONDS[:3]]
        making = None if None in seconds else sum(seconds)
        tokens = [tokens_per(c, rows) for rows in ("kept", "kept_without_error")]
        rows.append(
            [cell_label(c)]
            + ["–" if value is None else f"{value:,.0f}" for value in tokens]
            + [duration(making / c["kept"]) if c["kept"] and making is not None else "–"]
            + [duration(c[step]) for step in STEP_SECONDS]
        )
    header = ["Cell", "Tokens per kept row", "Tokens per right row at best", "Time per kept row"]
    header += ["Teacher", "Synthesis", "Curation", "Student"]
    caption = (
        "Tokens per kept row: all tokens written, prompts and responses of all attempts, per kept row; per right row at best: the same per "
        "kept row without a sign of error. Time per kept row counts teacher, synthesis and curation."
    )
    return Table(caption, header, rows)


def _kept_rows(data: ReportData, recommended: str | None) -> list[Block]:
    """A few of each arm at one size, of the first replicate."""
    kept = data.rows.filter(pl.col("verdict") == "kept")
    if kept.is_empty():
        return [Paragraph("There is no kept row to show.")]
    sizes = kept["train_size"].unique().sort().to_list()
    size = Cell.of_label(recommended).train_size if recommended else sizes[-1]
    size = size if size in sizes else sizes[-1]
    shown = kept.filter(train_size=size).filter(pl.col("replicate") == pl.col("replicate").min())
    arms = data.corpora.select("arm", "prompt_loss").unique().sort("prompt_loss", "arm", nulls_last=True)["arm"]
    columns = {}
    for place, arm in enumerate(arms):
        pool = shown.filter(arm=arm).sort("id")
        chosen = np.random.default_rng([int(data.settings["seed"]) % 2**63, size, place]).permutation(len(pool))
        columns[f"{size}/{arm}, kept"] = [
            example(pool.row(int(row), named=True), beside_seed=False) for row in chosen[:SHOWN_ROWS]
        ]
    return [Paragraph("Some kept rows of each arm, drawn at random with the profile's seed:"), Columns(columns)]
