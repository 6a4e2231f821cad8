"""Benchmarks: local questions, how their answers are scored, and tasks of lm-evaluation-harness made from them."""

from typing import TYPE_CHECKING

from nomad_assets import plugins
from nomad_assets.errors import NomadError
from nomad_assets.plugins import Plugin
from nomad_assets.recipe.data.sources import Rows
from nomad_assets.recipe.evaluation.scorer import EXACT_MATCH, SHARES, PluginScorer, Scorer

if TYPE_CHECKING:
    import polars as pl

PRIMARY = EXACT_MATCH
LOG_PROBABILITY = "answer_logprob"


def scorer_of(rule: str, plugin: Plugin | None = None) -> Scorer:
    """The scorer that a benchmark's `rule` names; `plugin` where it is none of the built-in ones.

    Raises NomadError when a plug-in cannot be imported or is no scorer.
    """
    if plugin is not None:
        return PluginScorer(plugin)
    if rule not in plugins.built_in_names("scorers"):
        raise NomadError(f"rule {rule!r}: a scorer that is a plug-in must be located before")
    return plugins.built_in("scorers", rule)()


def primary(metrics: list[str]) -> str:
    """The metric that a benchmark is compared by: exact match, or the first of a task that has none."""
    return PRIMARY if PRIMARY in metrics else metrics[0]


def is_share(metric: "pl.Expr") -> "pl.Expr":
    """Whether values of a metric lie in [0, 1], by its name."""
    return metric.str.contains(SHARES)


def question_table(name: str, rule: str | Scorer, rows: Rows) -> "pl.DataFrame":
    """Questions of the BenchmarkQuestions schema: `answers` are accepted, `reference` is the model answer to score, and a
    question that shares nothing is a `cluster` of its own.

    `rule` is a scorer, or the name of a built-in one. Raises NomadError when a row has no answer that it can read.
    """
    import polars as pl

    scorer = scorer_of(rule) if isinstance(rule, str) else rule
    # Content ids, so that a question keeps its id when others are added.
    records = [
        {
            "id": f"{name}-{row.id}", "benchmark": name, "question": row.prompt, "answers": scorer.accepted(row),
            "reference": row.response, "cluster": row.cluster or f"{name}-{row.id}",
        }
        for row in rows.rows
    ]  # fmt: skip
    schema = {
        "id": str, "benchmark": str, "question": str, "answers": pl.List(pl.String), "reference": str, "cluster": str,
    }  # fmt: skip
    return pl.DataFrame(records, schema=schema).unique("id", maintain_order=True)


def local_task(name: str, rule: str | Scorer, questions: "pl.DataFrame", max_new_tokens: int) -> dict:
    """A task configuration of lm-evaluation-harness over local questions, answered zero-shot and greedily.

    `rule` is a scorer, or the name of a built-in one. Generation ends at the model's own end of turn; each rule then cuts the text as its source does.
    """
    from datasets import Dataset

    def dataset(**_: object) -> dict:
        return {"test": Dataset.from_list(questions.to_dicts())}

    def process_results(doc: dict, results: list[str]) -> dict[str, float]:
        return scorer.score_question(doc["id"], results[0], doc["answers"])

    scorer = scorer_of(rule) if isinstance(rule, str) else rule
    metrics = scorer.metrics(questions)
    if LOG_PROBABILITY in metrics:
        raise NomadError(
            f"benchmarks.{name}: its scorer gives {LOG_PROBABILITY}, which is measured here; use another name"
        )
    return {
        "task": name,
        "custom_dataset": dataset,
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{reference}}",
        "process_results": process_results,
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in metrics],
        "metadata": {"version": 1.0},
    }
