"""The questions that models are scored on."""

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from nomad_assets import plugins
from nomad_assets.cells import Cell, Over
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.profile.fields import Section
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.evaluation.benchmarks import question_table, scorer_of
from nomad_assets.recipe.evaluation.splits import with_splits
from nomad_assets.steps.external import ExternalPlugin, ExternalRows


class BenchmarkQuestions(Table):
    """Questions with the answers that count as right."""

    id: str = column("benchmark and place in its source", unique=True)
    benchmark: str = column("its name in the profile")
    question: str = column("as the model is asked", str_length={"min_value": 1})
    answers: pl.List = column("accepted answers, the canonical one first", dtype_kwargs={"inner": pl.String})
    reference: str = column("model answer whose log-probability is measured", str_length={"min_value": 1})
    cluster: str = column("what it shares with other questions, such as a template; its id where it shares nothing")
    split: str = column("dev: choices are made on it; test: the report compares on it", isin=["dev", "test"])

    @pa.check("answers")
    def every_question_has_an_accepted_answer(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).list.len() > 0)


COLUMNS = {
    "id": str, "benchmark": str, "question": str, "answers": pl.List(pl.String), "reference": str, "cluster": str,
}  # fmt: skip
EMPTY = pl.DataFrame(schema=COLUMNS)


class LocalBenchmark(Section):
    """A benchmark whose questions are rows of a source."""

    name: str
    rule: str
    scorer: ExternalPlugin | None
    """The rule, where it is a plug-in."""
    source: ExternalRows


def local_benchmarks(profile: Profile) -> list[LocalBenchmark]:
    plugged = scorers(profile)
    return [
        LocalBenchmark(
            name=name,
            rule=benchmark.rule,
            scorer=plugged.get(name),
            source=ExternalRows.of(profile, benchmark.source, f"benchmarks.{name}.source"),
        )
        for name, benchmark in profile.benchmarks.items()
        if benchmark.source is not None
    ]


def scorers(profile: Profile) -> dict[str, ExternalPlugin]:
    """By benchmark, the rules that are plug-ins."""
    found = plugins.in_profile(profile)
    keys = {name: f"benchmarks.{name}.rule" for name in profile.benchmarks}
    return {name: ExternalPlugin.of(found[key]) for name, key in keys.items() if key in found}


def questions_of(benchmarks: list[LocalBenchmark], clusters: Mapping[str, str] | None = None) -> pl.DataFrame:
    """The BenchmarkQuestions table of local benchmarks, one after the other; `clusters` names a benchmark's field for them."""
    tables = []
    for b in benchmarks:
        rows = b.source.read(cluster=(clusters or {}).get(b.name))
        tables.append(question_table(b.name, scorer_of(b.rule, b.scorer.plugin if b.scorer else None), rows))
    return pl.concat([EMPTY, *tables])


def question_triples(questions: pl.DataFrame) -> list[tuple[str, str, list[str]]]:
    """(id, question, accepted answers), as the contamination rule reads them."""
    return list(questions.select("id", "question", "answers").iter_rows())


def dev_shares(profile: Profile) -> dict[str, float]:
    return {name: benchmark.dev for name, benchmark in profile.benchmarks.items()}


class QuestionsConfig(Config):
    benchmarks: list[LocalBenchmark]
    clusters: dict[str, str]
    """By benchmark, the field that names what questions share."""
    dev: dict[str, float]
    """By benchmark, the share of its questions that choices are made on."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "QuestionsConfig":
        named = {name: benchmark.cluster for name, benchmark in grid.profile.benchmarks.items() if benchmark.cluster}
        return cls(benchmarks=local_benchmarks(grid.profile), clusters=named, dev=dev_shares(grid.profile))


@step(
    over=Over.GRID, tables={"questions.parquet": BenchmarkQuestions}, version="3", group="inputs", kinds=("polars", "pandera")
)  # fmt: skip
def benchmark_questions(config: QuestionsConfig, inputs: Inputs, out: Output) -> None:
    """Questions with the answers that count as right, of every local benchmark.

    Wrong if a question has no answer its scoring rule can read, or if one cluster lies in both splits. Tasks of lm-evaluation-harness bring their own.
    """
    questions = with_splits(questions_of(config.benchmarks, config.clusters), config.dev)
    out.write(questions, BenchmarkQuestions)
    counts = dict(questions.group_by("benchmark", maintain_order=True).len().iter_rows())
    out.report(rows=questions.height, **{f"questions_{name}": count for name, count in counts.items()})
    two_each = questions.group_by("benchmark", maintain_order=True).head(2)
    out.show("preview", two_each.select("benchmark", "question", "reference"))
