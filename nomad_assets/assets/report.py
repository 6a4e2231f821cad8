"""The report over everything that has been materialised."""

from collections.abc import Callable

import dagster as dg
import polars as pl

from nomad_assets.assets.inputs import preview
from nomad_assets.assets.models import picture
from nomad_assets.assets.project import Outcome, Project, Work
from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.recipe.report.report import ReportData, build_report
from nomad_assets.steps import STEPS, parent_places
from nomad_assets.storage import Artifact

SAMPLED_ROWS = 200
KINDS = {"base_scores": "base", "control_scores": "control", "student_scores": "student"}


def report_assets(project: Project) -> list[dg.AssetsDefinition]:
    @project.asset
    def recipe_report(work: Work) -> Outcome:
        """Leaderboard, paired comparisons, plots and the recommended cell, as Markdown and as one HTML file.

        Covers the cells that exist; those that are missing are listed.
        """
        for name in ("student_scores", "corpus_profile", "curated_corpus"):
            if not _found(work, name):
                raise NomadError(f"no cell of the grid has {name} yet; materialise at least one cell first")
        report = build_report(gather(work))
        (work.stage / "report.md").write_text(report.markdown, encoding="utf-8")
        (work.stage / "report.html").write_text(report.html, encoding="utf-8")
        report.comparisons.write_parquet(work.stage / "comparisons.parquet")
        return Outcome(
            rows=report.comparisons.height,
            metrics={"recommended": report.recommended},
            metadata={
                "report": dg.MetadataValue.md(report.markdown),
                "preview": preview(report.comparisons),
                **{name: picture(name.replace("_", " "), chart) for name, chart in report.figures.items()},
            },
        )

    return [recipe_report]


def gather(work: Work) -> ReportData:
    """Everything the report reads, from the artifacts of the grid."""
    profile = work.profile
    places = parent_places(STEPS["recipe_report"], Cell(), work.grid)
    seeds = _seeds(work)
    engines = {m.metrics.get("engine") for m in _manifests(work, "synthetic_corpus")}
    return ReportData(
        profile_name=profile.name,
        settings={
            "base_model": profile.base_model.source,
            "train_sizes": ", ".join(str(size) for size in work.grid.train_sizes),
            "benchmarks": {name: benchmark.task or benchmark.rule for name, benchmark in profile.benchmarks.items()},
            "keep_target": profile.curation.keep,
            "band": profile.curation.band,
            "embedder": profile.curation.embedder,
            "engine": ", ".join(sorted(str(engine) for engine in engines if engine)),
            "students_also_see_the_seeds": profile.student.include_seeds,
            "bootstrap_resamples": profile.evaluation.bootstrap,
            "seed": profile.seed,
        },
        scores=_scores(work, "scores.parquet"),
        results=_scores(work, "results.parquet"),
        corpora=pl.DataFrame(
            [_corpus_row(work, cell, artifact) for cell, artifact in _found(work, "corpus_profile")],
            infer_schema_length=None,
        ),
        reasons=_stack(work, "curated_corpus", "curated.parquet", _count_reasons),
        rows=_stack(work, "curated_corpus", "curated.parquet", lambda table: _sample(work, table, seeds)),
        seeds=_seed_points(work, seeds),
        novelty_curve=_stack(work, "corpus_profile", "novelty_curve.parquet", lambda table: table),
        missing=[f"{name} {cell.label}" for name, cell in places if (name, cell) not in work.parents],
    )


def _found(work: Work, name: str) -> list[tuple[Cell, Artifact]]:
    return [(cell, artifact) for (asset, cell), artifact in work.parents.items() if asset == name]


def _manifests(work: Work, name: str) -> list:
    """Manifests of grid assets that are not parents of the report but lie behind it."""
    artifacts = [work.store.current(name, cell) for cell in work.grid.members(STEPS[name].partitions)]
    return [artifact.manifest for artifact in artifacts if artifact is not None]


def _labels(work: Work, cell: Cell) -> dict:
    arm = work.grid.arms.get(cell.arm) if cell.arm else None
    return {
        "train_size": cell.train_size, "arm": cell.arm, "prompt_loss": arm.prompt_loss if arm else None,
        "weight": arm.weight if arm else None, "replicate": arm.replicate if arm else None,
    }  # fmt: skip


_LABEL_TYPES = {
    "train_size": pl.Int64,
    "arm": pl.String,
    "prompt_loss": pl.String,
    "weight": pl.Float64,
    "replicate": pl.Int64,
}


def _scores(work: Work, table: str) -> pl.DataFrame:
    parts = []
    for (name, cell), artifact in work.parents.items():
        if name not in KINDS:
            continue
        labels = [pl.lit(value, dtype=_LABEL_TYPES[key]).alias(key) for key, value in _labels(work, cell).items()]
        parts.append(pl.read_parquet(artifact / table).select(pl.lit(KINDS[name]).alias("kind"), *labels, pl.all()))
    return pl.concat(parts)


def _stack(work: Work, name: str, table: str, transform: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """One table of every cell, transformed, with its train size and arm in front."""
    return pl.concat(
        [
            transform(pl.read_parquet(artifact / table)).select(
                pl.lit(cell.train_size, pl.Int64).alias("train_size"), pl.lit(cell.arm).alias("arm"), pl.all()
            )
            for cell, artifact in _found(work, name)
        ]
    )


def _count_reasons(curated: pl.DataFrame) -> pl.DataFrame:
    return curated.group_by("reason").len("rows").with_columns(pl.col("rows").cast(pl.Int64)).sort("reason")


def _sample(work: Work, table: pl.DataFrame, seeds: pl.DataFrame) -> pl.DataFrame:
    """Up to 200 rows, half kept and half dropped where there are as many, with the nearest seed row."""
    halves = [
        part.sample(min(part.height, SAMPLED_ROWS // 2), seed=work.seed, shuffle=True)
        for part in (table.filter(pl.col("verdict") == verdict) for verdict in ("kept", "dropped"))
    ]
    nearest = seeds.select(
        pl.col("id").alias("nearest_seed"), pl.col("prompt").alias("nearest_seed_prompt"),
        pl.col("response").alias("nearest_seed_response"),
    )  # fmt: skip
    return pl.concat(halves).join(nearest, on="nearest_seed", how="left", maintain_order="left").select(
        "id", "verdict", "reason", "prompt", "response", pl.col("normsim_2").alias("relevance"), "novelty",
        "nearest_seed_prompt", "nearest_seed_response",
    )  # fmt: skip


def _seeds(work: Work) -> pl.DataFrame:
    """id, prompt and response of the pool's rows; none when it has gone."""
    pool = work.store.current("seed_examples", Cell())
    if pool is None:
        return pl.DataFrame(schema={"id": str, "prompt": str, "response": str})
    return pl.read_parquet(pool / "seeds.parquet", columns=["id", "prompt", "response"])


def _seed_points(work: Work, seeds: pl.DataFrame) -> pl.DataFrame:
    """The seed rows of each size; arms of a size saw the same."""
    # A corpus that was curated by an earlier version has no such table.
    there = {cell: art for cell, art in _found(work, "curated_corpus") if (art / "seed_points.parquet").is_file()}
    none = pl.DataFrame(schema={"train_size": pl.Int64, "arm": str, "id": str, "relevance": float, "novelty": float})
    parts = [
        pl.read_parquet(artifact / "seed_points.parquet").select(
            pl.lit(cell.train_size, pl.Int64).alias("train_size"), pl.lit(cell.arm).alias("arm"), pl.all()
        )
        for cell, artifact in there.items()
    ]
    points = pl.concat([none, *parts])
    points = points.unique(["train_size", "id"], maintain_order=True, keep="first").drop("arm")
    return points.join(seeds.select("id", "prompt"), on="id", how="left", maintain_order="left")


def _corpus_row(work: Work, cell: Cell, artifact: Artifact) -> dict:
    metrics = dict(pl.read_parquet(artifact / "metrics.parquet").iter_rows())
    seconds = {}
    for label, name in (
        ("teacher", "teacher_model"),
        ("synthesis", "synthetic_corpus"),
        ("curation", "curated_corpus"),
        ("student", "student_model"),
    ):
        made = work.store.current(name, cell)
        seconds[f"{label}_seconds"] = made.manifest.seconds if made else None
    return {
        **_labels(work, cell),
        "attempts": int(metrics["attempts"]),
        "prompts_completed": int(metrics["prompts_completed"]),
        "completed": int(metrics["rows_completed"]),
        "kept": int(metrics["kept"]),
        "keep_target": work.profile.curation.keep,
        **{
            key: metrics[key]
            for key in ("relevance_all", "relevance_kept", "novelty_all", "novelty_kept", "distinct_prompts")
        },
        "prompt_tokens": int(metrics["prompt_tokens"]),
        "response_tokens": int(metrics["response_tokens"]),
        **seconds,
    }
