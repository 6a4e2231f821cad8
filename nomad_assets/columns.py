"""The columns of each asset's main table, and which columns of which parents their values come from.

One table, `SOURCES`, says it all; the UI shows it as column schema and column lineage, OpenLineage events carry it.
Named is what a value is computed from. What only decides which rows there are, such as the verdict that keeps a row
out of a student's training, is not. Where a profile leaves a parent unread (`student.include_seeds = false`, tasks of
lm-evaluation-harness that bring their own questions), its columns are named all the same.
"""

import dagster as dg

from nomad_assets import schemas
from nomad_assets.recipe.report.comparisons import COMPARISON_MEANINGS, COMPARISON_SCHEMA
from nomad_assets.schemas import Table
from nomad_assets.steps import SCORES

# The main table of each asset; base_model has none, the report's comparisons have no contract of their own.
MAIN: dict[str, type[Table]] = {
    "seed_examples": schemas.SeedExamples,
    "benchmark_questions": schemas.BenchmarkQuestions,
    "seed_subset": schemas.SeedSubset,
    "teacher_model": schemas.TrainingRows,
    "synthetic_corpus": schemas.SyntheticCorpus,
    "curated_corpus": schemas.CuratedCorpus,
    "corpus_profile": schemas.ProfileMetrics,
    "student_model": schemas.TrainingRows,
    "control_model": schemas.TrainingRows,
    "student_scores": schemas.QuestionResults,
    "control_scores": schemas.QuestionResults,
    "base_scores": schemas.QuestionResults,
}
REPORT = "recipe_report"

MADE_HERE: tuple[str, ...] = ()


def _of(parent: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{parent}.{name}" for name in names)


def _training(*parents: str) -> dict[str, tuple[str, ...]]:
    texts = tuple(text for parent in parents for text in _of(parent, "prompt", "response"))
    return {
        "id": tuple(f"{parent}.id" for parent in parents),
        **dict.fromkeys(("tokens", "supervised_tokens", "used"), texts),
    }


def _from_all_scores(*names: str) -> tuple[str, ...]:
    return tuple(column for parent in SCORES for column in _of(parent, *names))


_SCORES: dict[str, str | tuple[str, ...]] = {
    "benchmark": "benchmark_questions.benchmark",
    "question_id": "benchmark_questions.id",
    "metric": MADE_HERE,
    "value": _of("benchmark_questions", "question", "answers", "reference"),
}
_DIFFERENCE = _from_all_scores("benchmark", "question_id", "metric", "value")
_JUDGED_BY = (
    *_of("synthetic_corpus", "prompt", "response", "response_end", "agreement", "majority_answer"),
    *_of("seed_subset", "prompt"),
    *_of("seed_examples", "prompt"),  # the NormSim band
    *_of("benchmark_questions", "question", "answers"),
)
_NEAREST = (*_of("synthetic_corpus", "prompt"), *_of("seed_subset", "prompt"))
_NORMSIM = (*_of("synthetic_corpus", "prompt"), *_of("seed_examples", "prompt"))

# asset -> column -> "parent.column" that it is a copy of, or the columns that it is computed from.
SOURCES: dict[str, dict[str, str | tuple[str, ...]]] = {
    "seed_examples": dict.fromkeys(schemas.columns(schemas.SeedExamples), MADE_HERE),
    "benchmark_questions": dict.fromkeys(schemas.columns(schemas.BenchmarkQuestions), MADE_HERE),
    "seed_subset": {
        name: f"seed_examples.{name}" for name in ("id", "position", "prompt", "response", "source")
    },
    "teacher_model": _training("seed_subset"),
    "student_model": _training("seed_subset", "curated_corpus"),
    "control_model": _training("seed_subset"),
    # Its only parent is a model, whose weights are no column.
    "synthetic_corpus": dict.fromkeys(schemas.columns(schemas.SyntheticCorpus), MADE_HERE),
    "curated_corpus": {
        **{name: f"synthetic_corpus.{name}" for name in schemas.columns(schemas.SyntheticCorpus)},
        **dict.fromkeys(("verdict", "reason", "evidence_similarity"), _JUDGED_BY),
        "evidence": (
            *_JUDGED_BY,
            *_of("synthetic_corpus", "id", "prompt_end", "final_answer"),
            *_of("seed_subset", "id"),
            *_of("benchmark_questions", "id"),
        ),
        "nearest_seed": (*_NEAREST, *_of("seed_subset", "id")),
        **dict.fromkeys(("novelty", "seed_similarity"), _NEAREST),
        **dict.fromkeys(("normsim_2", "normsim_inf"), _NORMSIM),
    },
    "corpus_profile": {
        "metric": MADE_HERE,
        "value": _of(
            "curated_corpus", "attempt", "prompt_end", "response_end", "verdict", "prompt", "normsim_2", "novelty",
            "agreement", "prompt_tokens", "response_tokens",
        ),
    },
    "student_scores": _SCORES,
    "control_scores": _SCORES,
    "base_scores": _SCORES,
    REPORT: {
        **dict.fromkeys(("comparison", "a", "b", "train_size", "measure"), MADE_HERE),
        "benchmark": _from_all_scores("benchmark"),
        "metric": _from_all_scores("metric"),
        "unit": _from_all_scores("metric", "value"),
        **dict.fromkeys(("n", "difference", "low", "high", "verdict"), _DIFFERENCE),
    },
}  # fmt: skip


def table_schema(asset: str) -> dg.TableSchema | None:
    """Names, types and meanings of the main table's columns; None for an asset without a table."""
    if asset == REPORT:
        return dg.TableSchema(
            [dg.TableColumn(name, str(kind), COMPARISON_MEANINGS[name]) for name, kind in COMPARISON_SCHEMA.items()]
        )
    if asset not in MAIN:
        return None
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                str(column.dtype),
                column.description,
                dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique),
            )
            for name, column in MAIN[asset].to_schema().columns.items()
        ]
    )


def sources(asset: str) -> dict[str, tuple[list[tuple[str, str]], bool]]:
    """Column -> the (parent, column) pairs that it comes from, and whether it is a plain copy of one.

    Columns that are made in the asset itself are left out.
    """
    found = {}
    for name, origin in SOURCES.get(asset, {}).items():
        named = (origin,) if isinstance(origin, str) else origin
        pairs = [(parent, column) for parent, _, column in (one.partition(".") for one in named)]
        if pairs:
            found[name] = pairs, isinstance(origin, str)
    return found


def column_metadata(asset: str) -> dict[str, object]:
    """What a materialisation's metadata says of the columns: their schema, and their lineage where there is any."""
    schema = table_schema(asset)
    lineage = {
        name: [dg.TableColumnDep(parent, column) for parent, column in pairs]
        for name, (pairs, _) in sources(asset).items()
    }
    return {
        **({"dagster/column_schema": schema} if schema else {}),
        **({"dagster/column_lineage": dg.TableColumnLineage(lineage)} if lineage else {}),
    }
