"""The sections on the synthetic corpora: dropped rows, relevance and novelty, and rows to read."""

import numpy as np
import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.blocks import Block, Columns, Example, Paragraph, Picture, Reader, Table
from nomad_assets.recipe.report.formatting import cell_label, number, percent
from nomad_assets.recipe.report.report_data import ReportData

SHOWN_CHARACTERS = 700
READER_ROWS = 2000
"""Rows of all cells together that the reader holds."""
SHOWN_ROWS = 3
"""Rows shown of each arm, once for kept and once for dropped ones."""
PLACE = ["train_size", "replicate", "arm"]


def in_order(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells by size and replicate, the lowest prompt loss weight first and arms without one last."""
    return cells.sort("train_size", "replicate", "prompt_loss", "arm", nulls_last=True)


def unfilled_target(cell: dict) -> str:
    """The sentence on a cell, a row of `corpora`, that kept fewer rows than its target."""
    label = cell_label(cell)
    kept = "no row was kept" if cell["kept"] == 0 else f"{cell['kept']} rows kept"
    return (
        f"{label} could not fill its keep target: {kept} of {cell['keep_target']} wanted, from {cell['completed']} "
        f"completed rows in {cell['attempts']} attempts. Its student saw fewer rows than planned."
    )


def dropped_rows(data: ReportData) -> list[Block]:
    totals = data.reasons.group_by("reason").agg(pl.col("rows").sum()).sort("rows", "reason", descending=[True, False])
    reasons = [r for r in totals["reason"] if r != "kept"]
    if not reasons:
        return [Paragraph("No row was dropped.")]
    counts = {(cell_label(r), r["reason"]): r["rows"] for r in data.reasons.iter_rows(named=True)}
    cells = data.reasons.select(PLACE).unique().sort(PLACE).iter_rows(named=True)
    order = [*reasons, "kept"]
    rows = [[cell_label(c), *(str(counts.get((cell_label(c), reason), 0)) for reason in order)] for c in cells]
    return [Table("Rows by the reason they were dropped for, and those kept.", ["Cell", *order], rows)]


def lenses(data: ReportData) -> list[Block]:
    """Relevance and novelty by cell, and their figures."""
    rows = [
        [cell_label(c)]
        + [number(c[k]) for k in ("relevance_all", "relevance_kept", "novelty_all", "novelty_kept")]
        + [percent(c["distinct_prompts"])]
        for c in in_order(data.corpora).iter_rows(named=True)
    ]
    text = (
        "Relevance is similarity to the target distribution, novelty is distance from the seed examples the teacher "
        "saw. High relevance with low novelty repeats the seeds; high novelty with low relevance has left the subject."
    )
    header = ["Cell", "Relevance, all", "Relevance, kept", "Novelty, all", "Novelty, kept", "Distinct prompts"]
    blocks: list[Block] = [Paragraph(text), Table("Means over the rows of a cell.", header, rows)]
    if not data.corpora.is_empty():
        alt = "Mean relevance against mean novelty of each cell: hollow for all rows, filled for kept, beside its size."
        blocks.append(Picture.of(plots.relevance_novelty_by_cell(data.corpora), alt))
    if len(points := row_points(data)):
        alt = "Relevance against novelty of sampled rows, coloured by arm, and of the seed examples in grey."
        blocks.append(Picture.of(plots.relevance_against_novelty(points), alt))
    if len(data.novelty_curve):
        # Dozens of lines cannot be told apart, and replicates of a cell show the same course.
        curve = data.novelty_curve.filter(replicate=0).sort(*PLACE, "rows")
        curve = curve.with_columns(label=pl.format("{}/{}", "train_size", "arm"))
        alt = "Novelty of what adding rows brings against corpus size, a line for each cell; falling means repetition."
        if data.novelty_curve["replicate"].max() > 0:
            alt += " First replicates only."
        blocks.append(Picture.of(plots.novelty_against_size(curve), alt))
    return blocks


def row_points(data: ReportData) -> pl.DataFrame:
    """Sampled rows of all arms and the seed examples of the largest size, as `plots.relevance_against_novelty` takes
    them."""
    scored = data.rows.drop_nulls(["relevance", "novelty"])
    order = data.corpora.select("arm", "prompt_loss").unique()
    columns = ["arm", "relevance", "novelty", "train_size", "id", "reason", "prompt"]
    ordered = scored.join(order, on="arm", how="left").sort("prompt_loss", "arm", "id", nulls_last=True).select(columns)
    if ordered.is_empty() or data.seeds.is_empty():
        return ordered
    largest = data.seeds.filter(pl.col("train_size") == pl.col("train_size").max())
    return pl.concat(
        [ordered, largest.with_columns(arm=pl.lit(plots.SEEDS), reason=pl.lit("a seed row"))], how="diagonal_relaxed"
    ).select(columns)


def examples(data: ReportData, recommended: str | None) -> list[Block]:
    """Random kept and dropped rows of the first and the last arm at one size, side by side, of the first replicate."""
    if data.rows.is_empty():
        return [Paragraph("There are no rows to show.")]
    if data.rows["prompt"].is_null().all():
        return [Paragraph("The texts of rows are left out here.")]
    every = data.corpora.select("arm", "prompt_loss").unique().sort("prompt_loss", "arm", nulls_last=True)["arm"]
    sizes = data.rows["train_size"].unique().sort().to_list()
    size = Cell.of_label(recommended).train_size if recommended else sizes[-1]
    size = size if size in sizes else sizes[-1]
    shown = data.rows.filter(train_size=size).filter(pl.col("replicate") == pl.col("replicate").min())
    present = set(shown["arm"])
    arms = [arm for arm in every if arm in present] or sorted(present)
    columns: dict[str, list[Example]] = {}
    for place, arm in enumerate(dict.fromkeys([arms[0], arms[-1]])):
        pool = shown.filter(arm=arm).sort("id")
        generator = np.random.default_rng([int(data.settings["seed"]) % 2**63, size, place])
        for heading, part in (
            ("kept", pool.filter(pl.col("verdict") == "kept")),
            ("dropped", pool.filter(pl.col("verdict") != "kept")),
        ):
            chosen = generator.permutation(len(part))[:SHOWN_ROWS]
            columns[f"{size}/{arm}, {heading}"] = [example(part.row(int(i), named=True)) for i in chosen]
    # Kept beside kept, dropped beside dropped.
    order = sorted(columns, key=lambda heading: heading.endswith("dropped"))
    text = "Drawn at random with the profile's seed, as the teachers wrote them; long texts are cut for display."
    found = {heading: columns[heading] for heading in order}
    return [
        Paragraph(text),
        Columns(found),
        Paragraph("Other rows, of any cell, by verdict:"),
        _reader(data, size, arms),
    ]


def _reader(data: ReportData, size: int, arms: list[str]) -> Reader:
    cells = data.rows.select(PLACE).n_unique()
    chosen = data.rows.with_columns(place=pl.int_range(pl.len()).over(*PLACE, "verdict"))
    chosen = chosen.filter(pl.col("place") < max(2, READER_ROWS // cells // 2))
    chosen = chosen.gather_every(max(1, -(-chosen.height // READER_ROWS)))
    rows = []
    for row in chosen.iter_rows(named=True):
        shown = example(row)
        rows.append(
            {
                "cell": cell_label(row), "reason": row["reason"],
                "title": shown.title, "facts": shown.facts, "parts": shown.parts,
            }
        )  # fmt: skip
    return Reader(rows, (f"{size}/{arms[0]}", f"{size}/{arms[-1]}"))


def example(row: dict, *, beside_seed: bool = True) -> Example:
    """A row of `ReportData.rows` to read, beside its nearest seed row or alone."""
    facts = row["verdict"] if row["verdict"] == "kept" else f"{row['verdict']}: {row['reason']}"
    if row["verdict"] == "kept":
        facts += f", sign of error: {row['sign_of_error']}" if row["sign_of_error"] else ", no sign of error"
    scores = [f"{lens} {number(row[lens])}" for lens in ("relevance", "novelty") if row[lens] is not None]
    texts = {"Prompt": row["prompt"], "Response": row["response"]}
    if beside_seed:
        texts |= {
            "Nearest seed prompt": row["nearest_seed_prompt"],
            "Nearest seed response": row["nearest_seed_response"],
        }
    parts = {name: _short(text) for name, text in texts.items() if text is not None}
    return Example(str(row["id"]), ", ".join([facts, *scores]), parts or {"Prompt": "(none was completed)"})


def _short(text: str) -> str:
    rest = len(text) - SHOWN_CHARACTERS
    return text if rest <= 0 else f"{text[:SHOWN_CHARACTERS]} … ({rest} more characters)"
