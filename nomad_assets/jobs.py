"""Jobs: what people launch from the UI and what `nomad-assets run` runs."""

import dagster as dg

# Each holds assets of one partitioning, in the order in which `nomad-assets run` goes through them.
JOB_ASSETS: dict[str, tuple[str, ...]] = {
    "inputs": ("seed_examples", "benchmark_questions", "base_model", "base_scores"),
    "controls": ("seed_subset", "control_model", "control_scores"),
    "grid": (
        "teacher_model",
        "synthetic_corpus",
        "curated_corpus",
        "corpus_profile",
        "student_model",
        "student_scores",
    ),
    "report": ("recipe_report", "lineage_db"),
}
DESCRIPTIONS = {
    "inputs": "Seed pool, benchmark questions, base model and its scores.",
    "controls": "Seed subset, seed-only student and its scores, per train size.",
    "grid": "Everything of one cell, from teacher to student scores. Backfill it over sizes and arms.",
    "report": "The report over all cells that exist, and the lineage database.",
    "evaluation": "Score the student of a cell again, for example after the benchmarks changed.",
}
# A step that dies is tried again and goes on from its checkpoint or its last whole shard. Bad data is never retried:
# it raises Failure(allow_retries=False).
RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)


def build_jobs() -> list:
    wanted = {**JOB_ASSETS, "evaluation": ("student_scores",)}
    return [
        dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*assets),
            description=DESCRIPTIONS[name],
            op_retry_policy=RETRIES,
        )
        for name, assets in wanted.items()
    ]
