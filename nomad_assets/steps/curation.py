"""Curation: a verdict for every row of a corpus, and what the corpus is like."""

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.checks import Finding, Stored
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output, Picture, Preview
from nomad_assets.engine.step import Config, File, Read, View, step
from nomad_assets.engine.tables import Table, column
from nomad_assets.errors import NomadError
from nomad_assets.plugins import locate_rules
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe import warm
from nomad_assets.recipe.curation import corpus_figures, curate, embedding
from nomad_assets.recipe.curation.contamination import ContaminationIndex, folded
from nomad_assets.recipe.generation.synthesis import completed
from nomad_assets.recipe.models.loading import quiet
from nomad_assets.recipe.report import plots
from nomad_assets.steps.benchmarks import BenchmarkQuestions, question_triples
from nomad_assets.steps.external import ExternalModel, ExternalPlugin
from nomad_assets.steps.seeds import SeedExamples, SeedSubset
from nomad_assets.steps.synthesis import SyntheticCorpus

EMBEDDINGS = File("embeddings.safetensors")  # of the completed rows' prompts, in order
PROMPTS, QUESTIONS = View(("id", "prompt")), View(("id", "question", "answers"))
PROMPTS_ALONE = View(("prompt",))  # a row of the pool whose response alone changes curates nothing anew

TEXTS = ("synthetic_corpus.prompt", "synthetic_corpus.response")
JUDGED_BY = (
    *TEXTS, "synthetic_corpus.response_end", "synthetic_corpus.agreement", "synthetic_corpus.majority_answer",
    "seed_subset.prompt", "seed_examples.prompt",  # the NormSim band
    "benchmark_questions.question", "benchmark_questions.answers",
)  # fmt: skip
NEAREST = ("synthetic_corpus.prompt", "seed_subset.prompt")
NORMSIM = ("synthetic_corpus.prompt", "seed_examples.prompt")
EVIDENCE = (
    *JUDGED_BY, "synthetic_corpus.id", "synthetic_corpus.prompt_end", "synthetic_corpus.final_answer", "seed_subset.id",
    "benchmark_questions.id",
)  # fmt: skip


class CuratedCorpus(SyntheticCorpus):
    """Every row with its verdict."""

    verdict: str = column("whether it is trained on", isin=["kept", "dropped"], computed_from=JUDGED_BY)
    reason: str = column("the first rule that it broke", computed_from=JUDGED_BY)
    evidence: str = column(
        "the twin, question, equation or bounds behind the reason", nullable=True, computed_from=EVIDENCE
    )
    evidence_similarity: float = column(
        "similarity to, or share of, the evidence", nullable=True, computed_from=JUDGED_BY
    )
    nearest_seed: str = column(
        "id of the teacher's seed row nearest to the prompt", nullable=True, computed_from=(*NEAREST, "seed_subset.id")
    )
    normsim_2: float = column("relevance: NormSim_2 to the seed pool", nullable=True, ge=0, le=1, computed_from=NORMSIM)
    normsim_inf: float = column(
        "largest absolute cosine to the seed pool", nullable=True, ge=0, le=1, computed_from=NORMSIM
    )
    novelty: float = column("1 - cosine to the nearest seed row", nullable=True, ge=-1e-6, le=2, computed_from=NEAREST)
    seed_similarity: float = column("cosine to the nearest seed row", nullable=True, ge=-1, le=1, computed_from=NEAREST)

    @pa.check("reason", name="isin(the rules' reasons, filter.NAME, verifier.NAME)")
    def known_reason(cls, data: pa.PolarsData) -> pl.LazyFrame:
        reason = pl.col(data.key)
        return data.lazyframe.select(
            reason.is_in([curate.KEPT, *curate.reason_names()]) | reason.str.contains(curate.PLUGIN_REASON)
        )

    @pa.dataframe_check
    def kept_means_no_objection(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("verdict") == "kept") == (pl.col("reason") == "kept"))


class SeedPoints(Table):
    """The teacher's seed rows through the lenses that its corpus is read with."""

    id: str = column("id of the seed row", unique=True)
    relevance: float = column("NormSim_2 to the other rows of the pool", nullable=True, ge=0, le=1)
    novelty: float = column("1 - cosine to the nearest other row it saw", nullable=True, ge=-1e-6, le=2)


class CurationConfig(Config):
    curation: Curation
    plugins: list[ExternalPlugin]
    """The filters, then the verifiers."""
    embedder: ExternalModel
    students_also_see_seeds: bool
    """Without their seeds, students need at least one kept row."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "CurationConfig":
        profile, settings = grid.profile, grid.profile.curation_of(cell.variant)
        section = f"grid.selections.{cell.variant}" if cell.variant in profile.grid.selections else "curation"
        packaged = settings.embedder == embedding.PACKAGED
        return cls(
            curation=settings, plugins=[ExternalPlugin.of(rule) for rule in locate_rules(settings, profile.folder, section)],
            students_also_see_seeds=profile.mix_of(cell.variant).seeds != 0,
            embedder=ExternalModel(address=settings.embedder, source=settings.embedder, content=None)
            if packaged else ExternalModel.of(profile, settings.embedder),
        )  # fmt: skip


@step(
    over=Over.SELECTIONS,
    inputs={
        "synthetic_corpus": Read({SyntheticCorpus: View()}),
        "seed_subset": Read({SeedSubset: PROMPTS}),
        "seed_examples": Read({SeedExamples: PROMPTS_ALONE}),
        "benchmark_questions": Read({BenchmarkQuestions: QUESTIONS}),
    },
    tables={"curated.parquet": CuratedCorpus, "seed_points.parquet": SeedPoints}, files=(EMBEDDINGS,),
    version="6", group="corpora", kinds=("polars", "pandera"),
)  # fmt: skip
def curated_corpus(config: CurationConfig, inputs: Inputs, out: Output) -> None:
    """Every row of the synthetic corpus with its verdict, reason, evidence and scores; kept ones are marked.

    Wrong if a kept row contains a benchmark question or copies a seed row.
    """
    from safetensors.numpy import save_file

    quiet()
    settings = config.curation
    corpus = inputs["synthetic_corpus"].table(SyntheticCorpus)
    subset, pool = inputs["seed_subset"].table(SeedSubset), inputs["seed_examples"].table(SeedExamples)
    questions = question_triples(inputs["benchmark_questions"].table(BenchmarkQuestions))
    embedder = warm.embedder(config.embedder.address)
    of_pool, of_subset = (embedder.embed(seeds["prompt"].to_list()) for seeds in (pool, subset))
    of_rows = embedder.embed(completed(corpus)["prompt"].to_list(), out.progress)
    rules = [rule.plugin for rule in config.plugins]
    curated = curate.curate(corpus, subset, of_pool, of_subset, of_rows, questions, settings, out.progress, rules)
    out.write(curated, CuratedCorpus)
    relevance, novelty = embedding.among_seeds(of_subset, of_pool)
    points = subset.select("id").with_columns(relevance=relevance, novelty=novelty)
    out.write(points.with_columns(pl.exclude("id").fill_nan(None)), SeedPoints)
    save_file({"completed": of_rows}, out.path(EMBEDDINGS))
    counts = curate.reason_counts(curated, settings)
    kept = counts.get(curate.KEPT, 0)
    if kept == 0 and not config.students_also_see_seeds:
        raise NomadError(
            f"curation kept none of {curated.height} rows ({counts}); raise synthesis.target, widen curation.band, or "
            "let students also see seed examples (student.seeds)"
        )
    if kept < settings.keep:
        out.warn(f"curation kept {kept} of the {settings.keep} rows wanted: {counts}")
    reasons = {f"reason_{reason}": counts.get(reason, 0) for reason in (curate.KEPT, *curate.reason_names(settings))}
    out.report(rows=curated.height, kept=kept, keep_target=settings.keep, **reasons)
    out.show(
        "preview", curated.filter(pl.col("verdict") == "kept").select("prompt", "response", "normsim_2", "novelty")
    )


@curated_corpus.check()
def no_kept_row_holds_a_benchmark_question(stored: Stored) -> Finding:
    """No kept row contains a question of the current benchmarks, by the rule of recipe/curation/contamination.py."""
    questions = stored.current("benchmark_questions")
    triples = question_triples(stored.table_of(questions, BenchmarkQuestions)) if questions else []
    if not triples:
        return Finding(True, "no local benchmark questions to compare with")
    index = ContaminationIndex(triples)
    kept = stored.table(CuratedCorpus).filter(verdict="kept")
    found = [(row, index.find(row["prompt"], row["response"])) for row in kept.iter_rows(named=True)]
    rows = [
        {
            "id": row["id"],
            "prompt": row["prompt"],
            "question_id": o.question_id,
            "question": o.question,
            "share": o.share,
        }
        for row, o in found
        if o is not None
    ]
    text = f"{len(rows)} of {kept.height} kept rows hold a benchmark question"
    return Finding(not rows, text, {"contaminated_kept_rows": len(rows)}, rows)


@curated_corpus.check(severity="WARN")
def few_rows_copy_seeds(stored: Stored) -> Finding:
    """The share of completed rows that repeat a seed row of the teacher is at most checks.max_seed_copies.

    Whatever they were dropped for: the second copy of a seed row is a repeat of the first.
    """
    done = stored.table(CuratedCorpus).filter(response_end="completed")
    first = pl.col("reason").is_in(["seed_copy", "near_seed_copy"])
    again = pl.col("reason").is_in(["exact_repeat", "near_repeat"]) & pl.col("evidence").is_in(
        done.filter(first)["id"].implode()
    )
    subset = stored.parent("seed_subset")
    own = {folded(prompt) for prompt in stored.table_of(subset, SeedSubset)["prompt"]} if subset else set()
    verbatim = pl.Series([folded(prompt) in own for prompt in done["prompt"]], dtype=pl.Boolean)
    copies = done.filter(first | again | verbatim)
    limit = stored.grid.profile.checks.max_seed_copies
    share = copies.height / max(done.height, 1)
    text = f"{share:.1%} of {done.height} completed rows copy a seed row; the limit is {limit:.1%}"
    rows = copies.select("id", "prompt", "evidence", "evidence_similarity").to_dicts()
    return Finding(share <= limit, text, {"seed_copy_share": share}, rows)


@curated_corpus.check(severity="WARN")
def corpus_is_filled_to_its_target(stored: Stored) -> Finding:
    """As many rows were kept as curation.keep asks for."""
    kept = stored.table(CuratedCorpus).filter(verdict="kept").height
    wanted = stored.grid.profile.curation_of(stored.cell.variant).keep
    return Finding(kept >= wanted, f"{kept} of {wanted} rows were kept", {"kept_rows": kept})


MEASURED = (
    "curated_corpus.attempt", "curated_corpus.prompt_end", "curated_corpus.response_end", "curated_corpus.verdict",
    "curated_corpus.prompt", "curated_corpus.response", "curated_corpus.normsim_2", "curated_corpus.novelty", "curated_corpus.agreement",
    "curated_corpus.prompt_tokens", "curated_corpus.response_tokens",
)  # fmt: skip


class ProfileMetrics(Table):
    """What a corpus is like, one row per figure."""

    metric: str = column("its name", unique=True)
    value: float = column("null where there was nothing to measure", nullable=True, computed_from=MEASURED)


class NoveltyCurve(Table):
    """Mean novelty of the corpus as it grows."""

    rows: int = column("size of the corpus", ge=1, unique=True)
    novelty: float = column("mean 1 - cosine of a new row to seeds and all earlier rows", ge=-1e-6, le=2)


class CorpusProfileConfig(Config):
    norm: str
    """p of the NormSim_p that the band was cut from."""
    cell: str
    """The label in the charts."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "CorpusProfileConfig":
        norm = grid.profile.curation_of(cell.variant).norm
        return cls(seed=grid.seed("corpus_profile", cell), norm=norm, cell=cell.label)


@step(
    over=Over.SELECTIONS,
    inputs={"curated_corpus": Read({CuratedCorpus: View(), SeedPoints: View()}, files=(EMBEDDINGS,))},
    tables={"metrics.parquet": ProfileMetrics, "novelty_curve.parquet": NoveltyCurve},
    version="4", group="corpora", kinds=("polars",),
)  # fmt: skip
def corpus_profile(config: CorpusProfileConfig, inputs: Inputs, out: Output) -> None:
    """What a corpus is like: relevance, novelty, diversity and yield, and its novelty as it grows.

    Relevance is NormSim_2 to the seed pool; novelty is the distance to the nearest row the teacher was trained on.
    """
    from safetensors.numpy import load_file

    corpus = inputs["curated_corpus"]
    curated = corpus.table(CuratedCorpus)
    metrics = corpus_figures.corpus_metrics(curated)
    curve = corpus_figures.novelty_curve(curated, load_file(corpus.path(EMBEDDINGS))["completed"], config.seed)
    figures = pl.DataFrame(list(metrics.items()), schema={"metric": str, "value": float}, orient="row")
    out.write(figures, ProfileMetrics)
    out.write(curve, NoveltyCurve)
    out.report(rows=len(metrics), **metrics)
    out.show("preview", Preview(figures))
    scored = curated.filter(pl.col("normsim_2").is_not_null())
    if scored.height:
        rows = scored.select(pl.lit(config.cell).alias("arm"), pl.col("normsim_2").alias("relevance"), "novelty")
        seen = corpus.table(SeedPoints).select(pl.lit(plots.SEEDS).alias("arm"), "relevance", "novelty")
        text = "relevance against novelty of each row, and of the seed examples"
        out.show("relevance_and_novelty", Picture(text, plots.relevance_against_novelty(pl.concat([rows, seen]))))
        low, high = corpus_figures.kept_bounds(curated, config.norm)
        histogram = plots.normsim_histogram(scored["normsim_2"].to_numpy(), low, high)
        out.show("normsim", Picture("NormSim histogram with the band", histogram))
    if curve.height:
        growth = plots.novelty_against_size(curve.with_columns(label=pl.lit(config.cell)))
        out.show("novelty_growth", Picture("novelty against corpus size", growth))
