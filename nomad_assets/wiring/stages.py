"""The stages that a grid is made in. Nothing here needs Dagster, so that a run with nothing to do never loads it."""

from nomad_assets.engine.step import Step
from nomad_assets.grid import Grid

# In the order in which `nomad-assets run` goes through them.
STAGES = {
    "inputs": "Seed pool, benchmark questions, base model and its scores.",
    "subsets": "Seed subset, per train size and replicate.",
    "controls": "Control students and their scores, per train size and replicate.",
    "grid": "Everything of one cell, from teacher to student scores. Backfill it over sizes and arms.",
    "selections": "Everything of one selection of a cell's rows, from curation to student scores.",
    "report": "The report over all cells that exist, and the lineage database.",
    "headroom": "Whether synthetic data can help at all, before any teacher is trained. Only made where it is asked for.",
}
LAST = ("report", "headroom")
"""Stages of the grid as a whole that come after its cells."""
# A Dagster job has one set of partitions: the first of a pair runs with the second where both are made for the same places.
TOGETHER = {"subsets": "controls", "selections": "grid"}


def stages_of(grid: Grid) -> dict[str, list[Step]]:
    """Steps by the stage that runs them together, each stage for places of one kind."""
    found = dict(zip(STAGES, grid.graph.stages(), strict=True))
    for stage, other in TOGETHER.items():
        pair = [found[name] for name in STAGES if name in (stage, other)]
        if all(pair) and grid.members(pair[0][0].over) != grid.members(pair[1][0].over):
            continue
        found[other] = [*pair[0], *pair[1]]
        del found[stage]
    return found
