"""The cards of what is exported: how it was made, from what, with which settings, and what is known of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.engine.tables import Table
from nomad_assets.grid import Arm, Grid
from nomad_assets.integrations.licences import hub_licence
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import CONTROL, TEACHER, Curation
from nomad_assets.recipe.curation.curate import KEPT, reasons
from nomad_assets.recipe.curation.signs import switches
from nomad_assets.recipe.data.sources import source_name
from nomad_assets.recipe.evaluation.benchmarks import is_share
from nomad_assets.recipe.report.costs import tokens_per
from nomad_assets.recipe.report.formatting import listed, share_words
from nomad_assets.steps.curation import ProfileMetrics
from nomad_assets.steps.scores import Scores
from nomad_assets.store.manifests import Artifact

if TYPE_CHECKING:
    from huggingface_hub import CardData

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
PROJECT = "nomad-assets (NOMAD, [arXiv 2410.20362](https://arxiv.org/abs/2410.20362))"


@dataclass(frozen=True)
class Facts:
    """What both cards are written from."""

    profile: Profile
    grid: Grid
    cell: Cell
    artifacts: dict[str, Artifact]
    """By asset; what an exported folder holds, what that was made from, and what describes it. All are what the profile
    would make now, so that its settings are theirs."""

    @property
    def arm(self) -> Arm:
        return self.grid.arms[self.cell.arm]

    @property
    def curation(self) -> Curation:
        """The rules of the cell's selection."""
        return self.profile.curation_of(self.cell.variant)

    def table(self, asset: str, table: type[Table]) -> pl.DataFrame:
        """A table of one of the artifacts."""
        return self.artifacts[asset].read(self.grid.graph[asset].file_of(table))

    def data_files(self, kept: int) -> dict[str, str]:
        """The Parquet file of each configuration of the dataset; none of kept rows where there are none."""
        digest = self.artifacts["curated_corpus"].manifest.content_digest[:12]
        every = {"kept": f"data/kept-{digest}.parquet", "all_rows": f"data/all-{digest}.parquet"}
        return every if kept else {"all_rows": every["all_rows"]}


def _rows(count: int, what: str) -> str:
    return f"{count:,} {what}" if count != 1 else f"1 {what.removesuffix('s')}"


def dataset_card(facts: Facts, curated: pl.DataFrame) -> str:
    """A dataset card as the hub reads it: YAML head, then Markdown. `curated`: every row with its verdict."""
    from huggingface_hub import DatasetCard, DatasetCardData

    kept = curated.filter(pl.col("verdict") == KEPT).height
    licences = sorted({source.license for source in facts.profile.seeds.sources if source.license})
    files = facts.data_files(kept)
    default = next(iter(files))
    data = DatasetCardData(
        **hub_licence(licences, all(source.license for source in facts.profile.seeds.sources)),
        pretty_name=f"{facts.profile.name} {facts.cell.label}",
        task_categories=["text-generation"],
        size_categories=[next((n for n, size in zip(NAMES, SIZES, strict=True) if kept < size), "n>1B")],
        tags=["synthetic", "nomad"],
        configs=[
            {"config_name": name, **({"default": True} if name == default else {}), "data_files": path}
            for name, path in files.items()
        ],
    )
    counts = dict(curated.group_by("reason").len().iter_rows())
    sentences = reasons(facts.curation)
    dropped = [[reason, str(counts[reason]), words] for reason, words in sentences.items() if reason in counts]
    corpus, answerer = facts.artifacts["synthetic_corpus"].manifest, facts.arm.synthesis.answerer
    parts = [
        f"# {facts.profile.name}, {facts.cell.label}",
        f"{_rows(kept, 'synthetic examples')}, written by a language model"
        + (" that was trained to write them" if facts.arm.teacher else "")
        + f", with {PROJECT}.",
        "## How it was made",
        f"{_teacher_words(facts)}, in {corpus.metrics['attempts']:,} attempts, "
        f"and {_answerer_words(answerer)} answered those that it ended by itself "
        f"({corpus.metrics['engine']}, {corpus.metrics['precision']}).",
        "Configuration `kept` holds what is meant for training: `id`, `prompt`, `response`, `relevance`, `novelty`, "
        "`nearest_seed`"
        + ("" if kept else ", and is missing here: no row was kept")
        + ". Configuration `all_rows` holds every attempt with how it ended, its verdict and the evidence.",
        f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset("path/or/name", "{default}", split="train")\n```',
        "## What was left out, and why",
        _table(["reason", "rows", "rule"], dropped) if dropped else "No row was left out.",
        "## Relevance and novelty",
        _lenses(facts),
        "## How many rows can be right",
        _worth(facts),
        "## Contamination",
        _contamination(facts, counts.get("contaminated", 0)),
        "## Licence",
        _licence_words(facts, licences),
        "## Settings",
        _settings(facts, ("teacher_model", "synthetic_corpus", "curated_corpus")),
        "## Lineage",
        _lineage(facts),
    ]
    return str(DatasetCard(_content(data, parts)))


def model_card(facts: Facts) -> str:
    """A model card of the student as the hub reads it."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    base, licence = facts.profile.base_model.source, facts.profile.base_model.license
    data = ModelCardData(
        **hub_licence([licence] if licence else [], bool(licence)),
        base_model=base.removeprefix("hf://").partition("@")[0] if base.startswith("hf://") else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["synthetic-data", "nomad"],
        model_name=f"{facts.profile.name}, student of {facts.cell.label}",
        eval_results=[EvalResult(**result) for result in _results(facts)] or None,
    )
    student = facts.artifacts["student_model"].manifest
    kept, too_long = student.metrics["synthetic_rows"], student.metrics["rows_too_long"]
    seeds = " and on seed examples" if facts.profile.mix_of(facts.cell.variant).seeds != 0 else ""
    left_out = (
        f" ({_rows(too_long, 'rows')} of more than {facts.profile.student.max_length} tokens left out)"
        if too_long
        else ""
    )
    parts = [
        f"# {data.model_name}",
        f"`{base}`, trained on {_rows(kept, 'synthetic examples')}{seeds}{left_out}, with {PROJECT}.",
        "## How it was made",
        f"{_teacher_words(facts)} It wrote a corpus, which was curated; this model was trained on what was "
        f"kept{seeds}, with loss on the responses alone: {_rows(student.rows, 'rows')}{left_out}, {student.metrics['steps']} steps, "
        f"{student.tokens:,} tokens.",
        '```python\nfrom transformers import pipeline\n\nask = pipeline("text-generation", "path/or/name")\n'
        'ask([{"role": "user", "content": "…"}])\n```',
        "## Scores",
        _scores(facts),
        "## Limits",
        "It answers in the manner of its training data and was not aligned or tested for safety. Scores say how it does on "
        "these questions alone; its answers can be wrong.",
        "## Licence",
        f"The base model is under {licence}." if licence else "The profile names no licence of the base model.",
        "## Settings",
        _settings(facts, ("student_model", "teacher_model", "curated_corpus")),
        "## Lineage",
        _lineage(facts),
    ]
    return str(ModelCard(_content(data, parts)))


def _teacher_words(facts: Facts) -> str:
    base, weight, teacher = (
        facts.profile.base_model.source,
        facts.arm.prompt_loss,
        facts.artifacts["teacher_model"].manifest,
    )
    bare = "prompts from nothing but the start of a user turn"
    if facts.arm.shots:
        return f"The untouched model `{base}` wrote prompts with {facts.arm.shots} seed examples in context"
    if weight is None:
        return f"The untouched model `{base}` wrote {bare}"
    too_long = teacher.metrics["rows_too_long"]
    left_out = f" ({too_long:,} more were too long)" if too_long else ""
    loss = (
        "the prompt as well as on the response"
        if weight == 1
        else f"the response and, with weight {weight:g}, the prompt"
    )
    return (
        f"A teacher (`{base}`) was fine-tuned on {_rows(teacher.rows, 'seed examples')}{left_out} with "
        f"the loss on {'the response alone' if weight == 0 else loss}. It then wrote {bare}"
    )


def _lenses(facts: Facts) -> str:
    if "corpus_profile" not in facts.artifacts:
        return "Not measured yet."
    found = dict(facts.table("corpus_profile", ProfileMetrics).iter_rows())
    rows = [
        [
            name,
            *("–" if found[f"{name}_{part}"] is None else f"{found[f'{name}_{part}']:.3f}" for part in ("kept", "all")),
        ]
        for name in ("relevance", "novelty")
    ]
    text = (
        "Relevance is NormSim₂ of a prompt to the seed pool, novelty its cosine distance to the nearest seed row that the "
        f"teacher saw (embeddings: {facts.curation.embedder})."
    )
    return f"{text}\n\n{_table(['mean', 'kept rows', 'all completed rows'], rows)}"


def _worth(facts: Facts) -> str:
    """How many kept rows can be right, and what one took: the numbers of the report, in its words."""
    found = (
        dict(facts.table("corpus_profile", ProfileMetrics).iter_rows()) if "corpus_profile" in facts.artifacts else {}
    )
    if not found.get("kept"):
        return "Not measured: no row was kept." if found else "Not measured yet."
    return (
        f"No sign of error: {share_words(int(found['kept_without_error']), int(found['kept']))}. This is an upper bound on the share of "
        f"right rows: the rules that look for errors ({listed(switches())}) find only what they look for. Tokens per kept row: "
        f"{tokens_per(found, 'kept'):,.0f} (all tokens written, prompts and responses of all attempts, per kept row)."
    )


def _contamination(facts: Facts, count: int) -> str:
    local = [name for name, benchmark in facts.profile.benchmarks.items() if benchmark.source is not None]
    unseen = [benchmark.task for benchmark in facts.profile.benchmarks.values() if benchmark.task]
    found = f"{count} row{' was' if count == 1 else 's were'} found to hold a question and left out of `kept`"
    text = (
        f"Every row of `kept` was compared with the questions of {', '.join(local)}; {found}. Rows of `all_rows` that an "
        "earlier rule dropped were not compared."
        if local
        else ""
    )
    if unseen:
        text += (
            f" It was not compared with {', '.join(unseen)}, whose questions are fetched only when a model is scored."
        )
    return text.strip()


def _licence_words(facts: Facts, found: list[str]) -> str:
    named = [(source_name(source.path), source.license) for source in facts.profile.seeds.sources]
    sources = [f"`{name}`: {licence or 'none named'}" for name, licence in named]
    text = "The seed rows' licences, as the profile names them, carry over to what was written from them: "
    base = facts.profile.base_model.license
    answerer = facts.arm.synthesis.answerer_source
    wrote = "rows" if answerer is None else "prompts"
    words = f"{text}{'; '.join(sources)}. The base model of what wrote the {wrote}: {base or 'none named'}."
    return (
        words if answerer is None else f"{words} The responses are by `{source_name(answerer)}`, under its own licence."
    )


def _answerer_words(answerer: str) -> str:
    """Who answered, as the subject of a sentence."""
    known = {TEACHER: "it", CONTROL: "the control, the same base model trained on the seed examples alone,"}
    return known.get(answerer) or f"`{source_name(answerer)}`"


def _scores(facts: Facts) -> str:
    if "student_scores" not in facts.artifacts:
        return "Not scored yet."
    named = {"this student": "student_scores", "seed-only control": "control_scores", "untouched base": "base_scores"}
    models = {label: facts.table(name, Scores) for label, name in named.items() if name in facts.artifacts}
    rows = []
    for benchmark, metric in models["this student"].select("benchmark", "metric").iter_rows():
        cells = []
        for table in models.values():
            row = table.filter(benchmark=benchmark, metric=metric)
            cells.append(_score(metric, row.row(0, named=True)) if row.height else "–")
        rows.append([benchmark, metric, *cells])
    return "95% bootstrap intervals over the questions in brackets.\n\n" + _table(
        ["benchmark", "metric", *models], rows
    )


def _results(facts: Facts) -> Iterator[dict]:
    """The student's scores as the hub takes them: shares as 0 to 1, log-probabilities in nats per answer token."""
    if "student_scores" not in facts.artifacts:
        return
    table = facts.table("student_scores", Scores)
    for name, metric, mean in table.select("benchmark", "metric", "mean").iter_rows():
        benchmark = facts.profile.benchmarks[name]
        # A file's whole path would read as the name of a data set of the hub.
        data_set = benchmark.task or Path(benchmark.source.path).name
        yield {
            "task_type": "text-generation", "dataset_type": data_set, "dataset_name": name,
            "metric_type": metric, "metric_value": mean,
        }  # fmt: skip


def _score(metric: str, row: dict) -> str:
    share = pl.select(is_share(pl.lit(metric))).item() and row["low"] >= 0 and row["high"] <= 1
    scale, digits = (100, 1) if share else (1, 3)
    mean, low, high = (f"{row[name] * scale:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean}{'%' if share else ''} ({low} to {high})"


def _settings(facts: Facts, names: tuple[str, ...]) -> str:
    settings = {name: facts.artifacts[name].manifest.settings for name in names}
    return f"```json\n{json.dumps(settings, indent=1, ensure_ascii=False)}\n```"


def _lineage(facts: Facts) -> str:
    text = "Artifacts, by asset; `nomad-assets lineage trace ID` leads from each to the seed rows."
    rows = [
        [name, f"`{artifact.manifest.artifact_id}`", artifact.manifest.content_digest[:16]]
        for name, artifact in facts.artifacts.items()
    ]
    return f"{text}\n\n{_table(['asset', 'id', 'content, sha256'], rows)}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _content(data: "CardData", parts: list[str]) -> str:
    text = "\n\n".join(parts)
    return f"---\n{data}\n---\n\n{text}\n"
