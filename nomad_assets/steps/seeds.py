"""The seed pool, and the subset that the teachers of one train size see."""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, Read, View, step
from nomad_assets.engine.tables import Table, column, columns
from nomad_assets.profile.fields import Section
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.data.seed_pool import build_pool, reordered, take_subset
from nomad_assets.steps.benchmarks import LocalBenchmark, local_benchmarks, question_triples, questions_of
from nomad_assets.steps.external import ExternalRows

ID = {"min_value": 16, "max_value": 16}
FILLED = {"min_value": 1}


class SeedExamples(Table):
    """Normalised seed rows. Their order is the order in which train sizes take them."""

    id: str = column("sha256 of prompt and response, 16 hex digits", unique=True, str_length=ID)
    position: int = column("place in the pool; a subset is its head", ge=0, unique=True)
    prompt: str = column("what the user's turn holds", str_length=FILLED)
    response: str = column("what the assistant's turn holds", str_length=FILLED)
    source: str = column("file or hub name the row was read from")
    source_row: int = column("1-based row in the source", ge=1)
    source_id: str = column("the id the source gave, if any", nullable=True)


class LeftOut(Table):
    """Source rows that are not in the pool."""

    source: str = column("file or hub name the row was read from")
    row: int = column("1-based row in the source", ge=1)
    reason: str = column(
        "why the pool does not hold it", isin=["not_single_turn", "repeat", "benchmark_question", "withdrawn"]
    )
    evidence: str = column("the twin, question or withdrawal behind the reason")


class SeedSubset(Table):
    """The head of the pool, in the pool's own order or in that of a replicate. Where a row stood in its source is known to the pool alone: a row that moves in its file
    changes no subset."""

    id: str = column("id of the seed row", unique=True, str_length=ID, copy_of="seed_examples.id")
    position: int = column("place in the pool", ge=0, unique=True, copy_of="seed_examples.position")
    prompt: str = column("what the user's turn holds", str_length=FILLED, copy_of="seed_examples.prompt")
    response: str = column("what the assistant's turn holds", str_length=FILLED, copy_of="seed_examples.response")
    source: str = column("file or hub name the row was read from", copy_of="seed_examples.source")


def seed_sources(profile: Profile) -> list[ExternalRows]:
    named = enumerate(profile.seeds.sources)
    return [ExternalRows.of(profile, source, f"seeds.sources.{number}") for number, source in named]


class SeedsConfig(Config):
    seeds: list[ExternalRows]
    benchmarks: list[LocalBenchmark]
    """Their questions, as their rule reads them, must not be seeds."""
    withdrawn: dict[str, dict]
    """Seed rows that must not be used any more: id -> source and content key."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "SeedsConfig":
        profile = grid.profile
        return cls(
            seed=grid.seed("seed_examples", cell),
            seeds=seed_sources(profile),
            benchmarks=local_benchmarks(profile), withdrawn=dict(withdrawn),
        )  # fmt: skip


@step(
    over=Over.GRID, tables={"seeds.parquet": SeedExamples, "left_out.parquet": LeftOut},
    version="3", group="inputs", kinds=("polars", "pandera"),
)  # fmt: skip
def seed_examples(config: SeedsConfig, inputs: Inputs, out: Output) -> None:
    """The pool of seed examples: normalised, validated, without repeats, in the order in which train sizes take them.

    Wrong if it holds a benchmark question, two equal rows, or a row without a response.
    """
    sources = [source.read(config.withdrawn) for source in config.seeds]
    questions = question_triples(questions_of(config.benchmarks))
    pool, left_out = build_pool(sources, questions, config.seed, config.withdrawn)
    out.write(pool, SeedExamples)
    out.write(left_out, LeftOut)
    reasons = dict(left_out.group_by("reason").len().iter_rows())
    out.report(rows=pool.height, **{f"left_out_{reason}": count for reason, count in sorted(reasons.items())})
    out.show("preview", pool.select("prompt", "response", "source"))


class PoolHead(Section):
    """The first rows of the pool, in the order of a replicate."""

    size: int
    order: int
    """Seed of the order; 0 is the pool's own, which the first replicate has. All sizes of a replicate share it."""

    @classmethod
    def of(cls, grid, cell: Cell, size: int) -> "PoolHead":
        return cls(size=size, order=grid.seed_of_replicate("seed_subset", cell.replicate) if cell.replicate else 0)

    def rows(self, pool: pl.DataFrame) -> pl.DataFrame:
        return (reordered(pool, self.order) if self.order else pool).head(self.size)


class SubsetConfig(Config):
    head: PoolHead

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "SubsetConfig":
        return cls(head=PoolHead.of(grid, cell, cell.train_size))


def head_of_the_pool(pool: pl.DataFrame, config: SubsetConfig) -> pl.DataFrame:
    """A row that is added, withdrawn or changed behind the head leaves a subset as it is."""
    return config.head.rows(pool)


@step(
    over=Over.SIZES,
    inputs={"seed_examples": Read({SeedExamples: View(tuple(columns(SeedSubset)), head_of_the_pool)})},
    tables={"seeds.parquet": SeedSubset},
    version="2", group="inputs", kinds=("polars", "pandera"),
)  # fmt: skip
def seed_subset(config: SubsetConfig, inputs: Inputs, out: Output) -> None:
    """The seed examples that the teachers of one train size and replicate see: the head of the pool, so that smaller ones
    nest; of a further replicate, the head of the pool in another order.

    Wrong if it has another number of rows than its partition says.
    """
    subset = take_subset(inputs["seed_examples"].table(SeedExamples), config.head.size)
    out.write(subset, SeedSubset)
    out.report(rows=subset.height)
    out.show("preview", subset.select("prompt", "response", "source"))


@seed_subset.check()
def subset_has_its_size_and_nests(stored: Stored) -> Finding:
    """The subset has as many rows as its partition says, is the head of its pool, and the next smaller is its head."""
    size, config = stored.cell.train_size, SubsetConfig.of(stored.grid, stored.cell, {})
    ids = stored.table(SeedSubset)["id"].to_list()
    rows = []
    if len(ids) != size:
        rows.append({"problem": f"{len(ids)} rows instead of {size}"})
    pool = stored.parent("seed_examples")
    if pool is not None and config.head.rows(stored.table_of(pool, SeedExamples))["id"].to_list()[: len(ids)] != ids:
        rows.append({"problem": f"not the head of {pool.manifest.artifact_id}"})
    smaller = [n for n in stored.grid.train_sizes if n < size]
    place = replace(stored.cell, train_size=smaller[-1]) if smaller else None
    below = stored.current("seed_subset", place) if place else None
    if below is not None and stored.table_of(below, SeedSubset)["id"].to_list() != ids[: smaller[-1]]:
        rows.append({"problem": f"seed_subset [{place.label}] is not its head; run the smaller size again"})
    text = rows[0]["problem"] if rows else f"{len(ids)} rows, nested"
    return Finding(not rows, text, {"subset_rows": len(ids)}, rows)
