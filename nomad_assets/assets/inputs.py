"""What the grid starts from: the seed pool, the benchmark questions, the base model, and the seed subsets."""

from pathlib import Path

import dagster as dg
import polars as pl

from nomad_assets import schemas
from nomad_assets.assets.project import Outcome, Project, Work
from nomad_assets.plugins import in_profile
from nomad_assets.profile.sections import Profile, Source
from nomad_assets.recipe.data.seed_pool import build_pool, take_subset
from nomad_assets.recipe.data.sources import Rows, read_source
from nomad_assets.recipe.evaluation import benchmarks
from nomad_assets.recipe.models.base_models import BUILT_IN, TINY, build_base_model
from nomad_assets.recipe.models.loading import quiet

PREVIEW_ROWS = 5
TOKENIZER_CORPUS_ROWS = 2000


def input_assets(project: Project) -> list[dg.AssetsDefinition]:
    return [asset(project) for asset in (_seed_examples, _benchmark_questions, _base_model, _seed_subset)]


def _seed_examples(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def seed_examples(work: Work) -> Outcome:
        """The pool of seed examples: normalised, validated, without repeats, in the order in which train sizes take them.

        Wrong if it holds a benchmark question, two equal rows, or a row without a response.
        """
        sources = [_read(work.profile, source, work.withdrawn) for source in work.profile.seeds.sources]
        questions = question_triples(_question_tables(work.profile))
        pool, left_out = build_pool(sources, questions, work.seed, work.withdrawn)
        work.write(pool, "seeds.parquet", schemas.SeedExamples)
        work.write(left_out, "left_out.parquet", schemas.LeftOut)
        reasons = dict(left_out.group_by("reason").len().iter_rows())
        return Outcome(
            rows=pool.height,
            metrics={f"left_out_{reason}": count for reason, count in sorted(reasons.items())},
            metadata={"preview": preview(pool.select("prompt", "response", "source"))},
        )

    return seed_examples


def _benchmark_questions(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def benchmark_questions(work: Work) -> Outcome:
        """Questions with the answers that count as right, a table per local benchmark.

        Wrong if a question has no answer its scoring rule can read. Tasks of lm-evaluation-harness bring their own.
        """
        tables = _question_tables(work.profile)
        for name, table in tables.items():
            work.write(table, f"questions/{name}.parquet", schemas.BenchmarkQuestions)
        (work.stage / "questions").mkdir(exist_ok=True)
        shown = (
            pl.concat([t.head(2).select("benchmark", "question", "reference") for t in tables.values()])
            if tables
            else pl.DataFrame()
        )
        return Outcome(
            rows=sum(table.height for table in tables.values()),
            metrics={f"questions_{name}": table.height for name, table in tables.items()},
            metadata={"preview": preview(shown)},
        )

    return benchmark_questions


def _base_model(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def base_model(work: Work) -> Outcome:
        """The base model as a folder: safetensors weights, tokenizer, chat template.

        Wrong if its chat template does not close every turn with a special token: a teacher could then never learn to
        end a prompt.
        """
        quiet()
        return Outcome(metrics=build_base(work.profile, work.stage / "model", work.withdrawn, work.seed))

    return base_model


def build_base(profile: Profile, out: Path, withdrawn: dict[str, dict], seed: int) -> dict:
    """Write the profile's base model to `out`; facts for the manifest."""
    settings = profile.base_model
    source = settings.source if settings.source in BUILT_IN else profile.resolve(settings.source)
    template = settings.chat_template
    if template not in (None, "chatml"):
        template = profile.resolve(template)
    corpus: list[str] = []
    if source == TINY:
        read = [_read(profile, entry, withdrawn) for entry in profile.seeds.sources]
        rows = [row for entry in read for row in entry.rows]
        rows = [row for row in rows if row.id not in withdrawn]
        corpus = [f"{row.prompt}\n{row.response}" for row in rows[:TOKENIZER_CORPUS_ROWS]]
    return build_base_model(source, out, chat_template=template, dtype=settings.dtype, corpus=corpus, seed=seed)


def _seed_subset(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def seed_subset(work: Work) -> Outcome:
        """The seed examples that the teachers of one train size see: the head of the pool, so that smaller ones nest.

        Wrong if it has another number of rows than its partition says.
        """
        pool = work.read("seed_examples", "seeds.parquet")
        subset = take_subset(pool, work.cell.train_size).select(schemas.columns(schemas.SeedSubset))
        work.write(subset, "seeds.parquet", schemas.SeedSubset)
        return Outcome(rows=subset.height, metadata={"preview": preview(subset.select("prompt", "response", "source"))})

    return seed_subset


def _read(profile: Profile, source: Source, withdrawn: dict[str, dict] | None = None) -> Rows:
    return read_source(profile.resolve(source.path), source.where, source.limit, withdrawn, source.options)


def _question_tables(profile: Profile) -> dict[str, pl.DataFrame]:
    """Local questions by benchmark."""
    scorers = in_profile(profile)
    return {
        name: benchmarks.question_table(
            name,
            benchmarks.scorer_of(benchmark.rule, scorers.get(f"benchmarks.{name}.rule")),
            _read(profile, benchmark.source),
        )
        for name, benchmark in profile.benchmarks.items()
        if benchmark.source is not None
    }


def question_triples(tables: dict[str, pl.DataFrame]) -> list[tuple[str, str, list[str]]]:
    """(id, question, accepted answers), as the contamination rule reads them."""
    return [row for table in tables.values() for row in table.select("id", "question", "answers").iter_rows()]


def stored_questions(work: Work) -> dict[str, pl.DataFrame]:
    """The question tables of the benchmark_questions parent."""
    folder = work.parent("benchmark_questions") / "questions"
    return {path.stem: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}


def preview(table: pl.DataFrame, rows: int = PREVIEW_ROWS) -> dg.MetadataValue:
    """The first rows as a table for the UI."""
    records = table.head(rows).with_columns(pl.all().cast(pl.String, strict=False)).to_dicts()
    if not records:
        return dg.MetadataValue.md("no rows")
    return dg.MetadataValue.table(
        [dg.TableRecord({k: v if v is not None else "" for k, v in row.items()}) for row in records]
    )
