"""What the report is made from: the tables that the assets hand over."""

from dataclasses import dataclass, field

import polars as pl

from nomad_assets.recipe.evaluation.looks import Taken

STEP_SECONDS = ["teacher_seconds", "synthesis_seconds", "curation_seconds", "student_seconds"]
"""Columns of `corpora`: what each step took, in the order of the recipe."""


@dataclass(frozen=True)
class ReportData:
    """What the report is made from. Shares are 0 to 1, log-probabilities nats per answer token, durations seconds."""

    profile_name: str
    settings: dict
    """Short facts to list. Read by name: `seed`, `benchmarks` {name: rule}."""
    scores: pl.DataFrame
    """kind (base, control or student), train_size, replicate, arm, prompt_loss (its weight; null for an arm that is not
    trained), benchmark, metric, mean, low, high, n: over the test questions."""
    results: pl.DataFrame
    """kind, train_size, replicate, arm, prompt_loss, benchmark, question_id, metric, value, cluster, split (dev or test)."""
    corpora: pl.DataFrame
    """A row a cell: train_size, replicate, arm, prompt_loss, attempts, prompts_completed, completed, kept, keep_target,
    kept_without_error (kept rows without a sign of error), agreement_kept (mean share; null where a prompt has one response), relevance_all,
    relevance_sd (over completed rows), relevance_kept, novelty_all, novelty_kept, distinct_prompts (share), prompt_tokens,
    response_tokens, teacher_seconds, synthesis_seconds, curation_seconds, student_seconds."""
    reasons: pl.DataFrame
    """train_size, replicate, arm, reason ("kept" among them), rows."""
    rows: pl.DataFrame
    """A sample of synthetic rows: train_size, replicate, arm, id, verdict, reason, prompt, response, relevance, novelty,
    nearest_seed_prompt, nearest_seed_response, sign_of_error (of a kept row: what the first rule that objects says; or null)."""
    seeds: pl.DataFrame
    """The seed rows that teachers saw: train_size, replicate, id, relevance, novelty, prompt."""
    novelty_curve: pl.DataFrame
    """train_size, replicate, arm, rows, novelty: mean novelty of what adding rows brings, against corpus size."""
    missing: list[str]
    """Cells that are not materialised."""
    steps: pl.DataFrame
    """A row for each artifact that was read: seconds, ended (Unix seconds), machine, cpus, device (null where it did not look)."""
    made_with: str
    """Version of nomad-assets."""
    margin: float
    """Share of right answers within which a difference makes none."""
    looks: list[Taken] = field(default_factory=list)
    """At the headline comparison while replicates were being made; none where all of them are."""
