"""Corpora: written by a teacher, judged row by row, and described."""

from pathlib import Path

import dagster as dg
import polars as pl

from nomad_assets import schemas
from nomad_assets.assets.inputs import preview, question_triples, stored_questions
from nomad_assets.assets.machine import DECODED_ROWS, work_precision
from nomad_assets.assets.models import picture
from nomad_assets.assets.project import Outcome, Project, Work
from nomad_assets.errors import NomadError
from nomad_assets.plugins import in_profile, locate_rules
from nomad_assets.recipe.curation import corpus_figures as describe
from nomad_assets.recipe.curation import curate, embedding
from nomad_assets.recipe.generation.engine import Engine, choose_engine
from nomad_assets.recipe.generation.synthesis import completed, synthesize
from nomad_assets.recipe.models.base_models import BUILT_IN, build_base_model
from nomad_assets.recipe.models.loading import load_tokenizer, quiet
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.recipe.report import plots

EMBEDDINGS = "embeddings.safetensors"


def corpus_assets(project: Project) -> list[dg.AssetsDefinition]:
    return [asset(project) for asset in (_synthetic_corpus, _curated_corpus, _corpus_profile)]


def _synthetic_corpus(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def synthetic_corpus(work: Work) -> Outcome:
        """Every attempt of the teacher at a training example: prompt, response, how each ended, tokens, seed.

        Wrong if an attempt is missing. That few of them completed is a result: a masked teacher never learned to end
        a prompt.
        """
        quiet()
        settings = work.profile.synthesis
        teacher = work.parent("teacher_model") / "model"
        turns = Turns(load_tokenizer(teacher), str(teacher))
        longest = settings.prompt.max_new_tokens + settings.response.max_new_tokens
        name = _chosen_engine(work, settings.target * longest)
        pair = _EnginePair(work, name, teacher, turns)
        whole = False
        try:
            corpus = synthesize(
                settings, pair.writer, pair.answerer, turns,
                seed_parts=(work.seed,), cell=work.cell.label, scratch=work.scratch / "shards", progress=work.progress,
            )  # fmt: skip
            whole = True
        finally:
            pair.close(whole)
        work.write(corpus, "corpus.parquet", schemas.SyntheticCorpus)
        attempts = corpus["attempt"].n_unique()
        ended = corpus.filter(pl.col("prompt_end") == "completed")["attempt"].n_unique()
        prompts = corpus.unique("attempt", keep="first", maintain_order=True)
        tokens = prompts["prompt_tokens"].sum() + corpus["response_tokens"].sum()
        return Outcome(
            rows=corpus.height,
            tokens=int(tokens),
            metrics={
                "engine": name, "precision": pair.writer.precision, "attempts": attempts, "prompts_completed": ended, "rows_completed": completed(corpus).height,
                "prompt_completion_rate": ended / attempts, "prompt_tokens": int(prompts["prompt_tokens"].sum()),
                "response_tokens": int(corpus["response_tokens"].sum()),
            },
            metadata={"preview": preview(completed(corpus).select("prompt", "response"))},
        )  # fmt: skip

    return synthetic_corpus


def _chosen_engine(work: Work, tokens: int) -> str:
    """The engine of this corpus, noted in scratch: a step that goes on after a crash must not change it half-way."""
    note = work.scratch / "engine.txt"
    if not note.is_file():
        setting = work.profile.synthesis.engine
        name = "vllm" if setting == "auto" and work.kept.holds_vllm else choose_engine(setting, tokens)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(name, encoding="utf-8")
    return note.read_text(encoding="utf-8")


class _EnginePair:
    """The engine that writes prompts and the one that answers, which is the same unless a setting names another."""

    def __init__(self, work: Work, name: str, teacher: Path, turns: Turns):
        self.work, self.name, self.turns = work, name, turns
        self.engines: list[Engine] = []
        self.writer = self._open(teacher, turns)
        self.other: tuple[Engine, Turns] | None = None

    def answerer(self) -> tuple[Engine, Turns]:
        settings = self.work.profile.synthesis
        if settings.answerer is None:
            return self.writer, self.turns
        if self.other is None:
            folder = self._answerer_folder(settings.answerer, settings.answerer_chat_template)
            turns = Turns(load_tokenizer(folder), settings.answerer)
            self.other = self._open(folder, turns), turns
        return self.other

    def _answerer_folder(self, source: str, template: str | None) -> Path:
        source = source if source in BUILT_IN else self.work.profile.resolve(source)
        folder = self.work.scratch / "answerer"
        if not (folder / "config.json").is_file():
            template = template if template in (None, "chatml") else self.work.profile.resolve(template)
            build_base_model(
                source, folder, chat_template=template, dtype=self.work.profile.base_model.dtype, corpus=[], seed=0
            )
        return folder

    def _open(self, folder: Path, turns: Turns) -> Engine:
        settings = self.work.profile.synthesis
        longest = (
            settings.prompt.max_new_tokens
            + settings.response.max_new_tokens
            + len(turns.header)
            + len(turns.middle)
            + 2
        )
        share = 1.0 if settings.answerer is None else 0.5
        engine = self.work.kept.open_engine(
            self.name, folder, batch_size=settings.batch_size, max_length=longest, pad_id=turns.pad, memory_share=share,
            precision=work_precision(self.work.store, settings.precision, DECODED_ROWS),
            plugin=in_profile(self.work.profile).get("synthesis.engine"),
        )  # fmt: skip
        self.engines.append(engine)
        return engine

    def close(self, whole: bool) -> None:
        for engine in self.engines:
            self.work.kept.release(engine, whole)


def _curated_corpus(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def curated_corpus(work: Work) -> Outcome:
        """Every row of the synthetic corpus with its verdict, reason, evidence and scores; kept ones are marked.

        Wrong if a kept row contains a benchmark question or copies a seed row.
        """
        from safetensors.numpy import save_file

        quiet()
        settings = work.profile.curation
        corpus = work.read("synthetic_corpus", "corpus.parquet")
        subset, pool = work.read("seed_subset", "seeds.parquet"), work.read("seed_examples", "seeds.parquet")
        done = completed(corpus)
        embedder = work.kept.embedder(
            settings.embedder if settings.embedder == embedding.PACKAGED else work.profile.resolve(settings.embedder)
        )
        of_pool, of_subset = (embedder.embed(seeds["prompt"].to_list()) for seeds in (pool, subset))
        of_rows = embedder.embed(done["prompt"].to_list(), work.progress)
        questions = question_triples(stored_questions(work))
        rules = locate_rules(settings, work.profile.folder)
        curated = curate.curate(corpus, subset, of_pool, of_subset, of_rows, questions, settings, work.progress, rules)
        work.write(curated, "curated.parquet", schemas.CuratedCorpus)
        relevance, novelty = embedding.among_seeds(of_subset, of_pool)
        points = subset.select("id").with_columns(relevance=relevance, novelty=novelty)
        work.write(points.with_columns(pl.exclude("id").fill_nan(None)), "seed_points.parquet", schemas.SeedPoints)
        save_file({"completed": of_rows}, work.stage / EMBEDDINGS)
        counts = curate.reason_counts(curated, settings)
        kept = counts.get(curate.KEPT, 0)
        if kept == 0 and not work.profile.student.include_seeds:
            raise NomadError(
                f"curation kept none of {curated.height} rows ({counts}); raise synthesis.target, widen curation.band, or set "
                "student.include_seeds = true"
            )
        if kept < settings.keep:
            work.warn(f"curation kept {kept} of the {settings.keep} rows wanted: {counts}")
        return Outcome(
            rows=curated.height,
            metrics={
                "kept": kept,
                "keep_target": settings.keep,
                **{
                    f"reason_{reason}": counts.get(reason, 0)
                    for reason in (curate.KEPT, *curate.reason_names(settings))
                },
            },
            metadata={
                "preview": preview(
                    curated.filter(pl.col("verdict") == "kept").select("prompt", "response", "normsim_2", "novelty")
                )
            },
        )

    return curated_corpus


def _corpus_profile(project: Project) -> dg.AssetsDefinition:
    @project.asset
    def corpus_profile(work: Work) -> Outcome:
        """What a corpus is like: relevance, novelty, diversity and yield, and its novelty as it grows.

        Relevance is NormSim_2 to the seed pool; novelty is the distance to the nearest row the teacher was trained on.
        """
        from safetensors.numpy import load_file

        curated = work.read("curated_corpus", "curated.parquet")
        vectors = load_file(work.parent("curated_corpus") / EMBEDDINGS)["completed"]
        metrics = describe.corpus_metrics(curated)
        curve = describe.novelty_curve(curated, vectors, work.seed)
        figures = pl.DataFrame(list(metrics.items()), schema={"metric": str, "value": float}, orient="row")
        work.write(figures, "metrics.parquet", schemas.ProfileMetrics)
        work.write(curve, "novelty_curve.parquet", schemas.NoveltyCurve)
        pictures = {"preview": preview(figures, rows=figures.height)}
        scored = curated.filter(pl.col("normsim_2").is_not_null())
        if scored.height:
            seen = pl.read_parquet(work.parent("curated_corpus") / "seed_points.parquet")
            rows = scored.select(
                pl.lit(work.cell.label).alias("arm"), pl.col("normsim_2").alias("relevance"), "novelty"
            )
            pictures["relevance_and_novelty"] = picture(
                "relevance against novelty of each row, and of the seed examples",
                plots.relevance_against_novelty(
                    pl.concat([rows, seen.select(pl.lit(plots.SEEDS).alias("arm"), "relevance", "novelty")])
                ),
            )
            low, high = describe.kept_bounds(curated, work.profile.curation.norm)
            pictures["normsim"] = picture(
                "NormSim histogram with the band", plots.normsim_histogram(scored["normsim_2"].to_numpy(), low, high)
            )
        if curve.height:
            labelled = curve.with_columns(label=pl.lit(work.cell.label))
            pictures["novelty_growth"] = picture("novelty against corpus size", plots.novelty_against_size(labelled))
        return Outcome(rows=len(metrics), metrics=metrics, metadata=pictures)

    return corpus_profile
