"""The stages that a grid is made in. Nothing here needs Dagster, so that a run with nothing to do never loads it."""

from nomad_assets.engine.graph import Graph
from nomad_assets.engine.step import Step

# In the order in which `nomad-assets run` goes through them: of the grid, of a size, of a cell, of the grid again, and asked for.
STAGES = {
    "inputs": "Seed pool, benchmark questions, base model and its scores.",
    "controls": "Seed subset, seed-only student and its scores, per train size and replicate.",
    "grid": "Everything of one cell, from teacher to student scores. Backfill it over sizes and arms.",
    "report": "The report over all cells that exist, and the lineage database.",
    "headroom": "Whether synthetic data can help at all, before any teacher is trained. Only made where it is asked for.",
}


def stages_of(graph: Graph) -> dict[str, list[Step]]:
    """Steps by the stage that runs them together."""
    return dict(zip(STAGES, graph.stages(), strict=True))
