"""The graph, once: every asset's partitions, parents and the settings that its content depends on.

The assets, the jobs, the command line and the reuse of finished work all read this table.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.profile.grid import Grid
from nomad_assets.profile.sections import Profile, Training
from nomad_assets.storage import Artifact, Store, digest, source_digest

# Settings that change how a step runs, but not what it makes.
NOT_IN_DIGEST = {"checkpoint_minutes", "fsdp"}  # `processes` counts: it multiplies the batch
# Keys that a step reads but no digest holds, since they do not change what it makes.
UNDIGESTED = {
    "teacher_model": {f"teacher.{key}" for key in NOT_IN_DIGEST},
    **dict.fromkeys(("student_model", "control_model"), frozenset(f"student.{key}" for key in NOT_IN_DIGEST)),
    **dict.fromkeys(("student_scores", "control_scores", "base_scores"), frozenset({"evaluation.batch_size"})),
}
UNREAD = ("checks", "automation", "openlineage", "mlflow", "owners", "price_per_hour")


@dataclass(frozen=True)
class Step:
    """One asset of the graph.

    `settings(profile, grid, cell)` gives the settings its content depends on; parents are asset names.
    """

    name: str
    partitions: Literal["none", "size", "cell"]
    parents: tuple[str, ...]
    settings: Callable[[Profile, Grid, Cell], dict]
    group: str
    kinds: tuple[str, ...]
    heavy: bool = False
    """Holds the accelerator: one at a time."""
    code_version: str = "1"
    optional_parents: bool = False
    """Whether the step can run while some of its parents' partitions are missing."""
    reads: dict[str, Callable[[Artifact, Cell], str]] = field(default_factory=dict)
    """Digest of what the step reads of a parent, where that is less than all of it."""
    reads_seeds: Callable[[Profile], bool] = lambda profile: False
    """Whether the step reads the seed sources themselves, and so must leave withdrawn rows out."""


def _training(training: Training) -> dict:
    return training.model_dump(mode="json", exclude=NOT_IN_DIGEST)


def _sources(profile: Profile, sources: list) -> list[dict]:
    """Source settings with a digest of the content of local ones."""
    found = []
    for source in sources:
        path = profile.resolve(source.path)
        content = source_digest(Path(path)) if Path(path).exists() else None
        found.append({**source.model_dump(mode="json", exclude={"license"}), "content": content})
    return found


def _benchmark_sources(profile: Profile) -> list:
    return [benchmark.source for benchmark in profile.benchmarks.values() if benchmark.source is not None]


def _model_content(profile: Profile, source: str) -> object:
    """What identifies the content of a model source; None for the hub."""
    from nomad_assets.recipe.models.base_models import BUILT_IN, source_version

    path = Path(profile.resolve(source))
    if source in BUILT_IN:
        return source_version(source)
    if path.is_dir():
        # Names, sizes and times: reading 16 GB to learn that nothing changed is too slow, and a changed time costs
        # only this one step, since its content digest then stays the same.
        return sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir() if p.is_file())
    return None


def _template_content(profile: Profile, template: str | None) -> str | None:
    path = Path(profile.resolve(template)) if template not in (None, "chatml") else None
    return source_digest(path) if path is not None and path.is_file() else None


def _evaluation(profile: Profile, grid: Grid, cell: Cell) -> dict:
    benchmarks = {name: b.model_dump(mode="json", exclude={"source"}) for name, b in profile.benchmarks.items()}
    settings = profile.evaluation
    return {
        "benchmarks": benchmarks, "bootstrap": settings.bootstrap, "precision": settings.precision, "seed": profile.seed,
    }  # fmt: skip


def _seed_examples(profile: Profile, grid: Grid, cell: Cell) -> dict:
    held_out = _sources(profile, _benchmark_sources(profile))
    return {"sources": _sources(profile, profile.seeds.sources), "held_out": held_out, "seed": profile.seed}


def _questions(profile: Profile, grid: Grid, cell: Cell) -> dict:
    unread = {"source": {"license"}}
    rules = {name: b.model_dump(mode="json", exclude=unread) for name, b in profile.benchmarks.items()}
    return {"benchmarks": rules, "sources": _sources(profile, _benchmark_sources(profile))}


def _base_model(profile: Profile, grid: Grid, cell: Cell) -> dict:
    settings = profile.base_model
    facts = {
        **settings.model_dump(mode="json", exclude={"license"}), "content": _model_content(profile, settings.source),
        "chat_template_content": _template_content(profile, settings.chat_template),
    }  # fmt: skip
    if profile.base_model.source == "tiny-random":
        facts["tokenizer_corpus"] = _sources(profile, profile.seeds.sources)
    return {**facts, "seed": profile.seed}


def _teacher(profile: Profile, grid: Grid, cell: Cell) -> dict:
    arm = grid.arms[cell.arm]
    return {
        "training": _training(profile.teacher), "prompt_loss_weight": arm.weight, "replicate": arm.replicate,
        "dtype": profile.base_model.dtype, "seed": profile.seed,
    }  # fmt: skip


def _corpus(profile: Profile, grid: Grid, cell: Cell) -> dict:
    settings = profile.synthesis.model_dump(mode="json")
    if profile.synthesis.answerer is not None:
        settings["answerer_content"] = _model_content(profile, profile.synthesis.answerer)
        settings["answerer_chat_template_content"] = _template_content(
            profile, profile.synthesis.answerer_chat_template
        )
    return {
        "synthesis": settings,
        "arm": grid.arms[cell.arm].prompt_loss,
        "replicate": grid.arms[cell.arm].replicate,
        "seed": profile.seed,
    }


def _curation(profile: Profile, grid: Grid, cell: Cell) -> dict:
    return {
        "curation": profile.curation.model_dump(mode="json"),
        "embedder": _model_content(profile, profile.curation.embedder),
    }


def _student(profile: Profile, grid: Grid, cell: Cell) -> dict:
    replicate = grid.arms[cell.arm].replicate if cell.arm else 0
    return {
        "training": _training(profile.student),
        "replicate": replicate,
        "dtype": profile.base_model.dtype,
        "seed": profile.seed,
    }


def _seed_only(profile: Profile, grid: Grid, cell: Cell) -> dict:
    return {"seed": profile.seed}


@functools.lru_cache(maxsize=4096)
def _rows_digest(table: Path, columns: tuple[str, ...], rows: int | None = None) -> str:
    """Digest of some columns of the first rows of a published table; versions never change, so it is kept."""
    import polars as pl

    return digest(pl.read_parquet(table, columns=list(columns), n_rows=rows).rows())


def _head_of_the_pool(pool: Artifact, cell: Cell) -> str:
    """A row that is added, withdrawn or changed behind the head leaves a subset as it is."""
    columns = ("id", "position", "prompt", "response", "source")
    return _rows_digest(pool / "seeds.parquet", columns, cell.train_size)


def _prompts_of_the_pool(pool: Artifact, cell: Cell) -> str:
    return _rows_digest(pool / "seeds.parquet", ("id", "prompt"))


@functools.lru_cache(maxsize=4096)
def _kept_digest(table: Path) -> str:
    import polars as pl

    kept = pl.scan_parquet(table).filter(pl.col("verdict") == "kept").select("id", "prompt", "response")
    return digest(kept.collect().rows())


def _kept_rows(corpus: Artifact, cell: Cell) -> str:
    """Scores, evidence and dropped rows train no student."""
    return _kept_digest(corpus / "curated.parquet")


def _nothing(profile: Profile, grid: Grid, cell: Cell) -> dict:
    return {}


def _report(profile: Profile, grid: Grid, cell: Cell) -> dict:
    unread: dict = {"teacher": NOT_IN_DIGEST, "student": NOT_IN_DIGEST, **dict.fromkeys(UNREAD, True)}
    licences = {
        "seeds": {"sources": {"__all__": {"license"}}}, "base_model": {"license"},
        "benchmarks": {"__all__": {"source": {"license"}}},
    }  # fmt: skip
    return {"profile": profile.model_dump(mode="json", exclude={**unread, **licences})}


MODELS = ("teacher_model", "student_model", "control_model")
SCORES = ("student_scores", "control_scores", "base_scores")
STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("seed_examples", "none", (), _seed_examples, "inputs", ("polars", "pandera"), code_version="3", reads_seeds=lambda _: True),
        Step("benchmark_questions", "none", (), _questions, "inputs", ("polars", "pandera")),
        Step(
            "base_model", "none", (), _base_model, "inputs", ("huggingface", "pytorch"),
            reads_seeds=lambda profile: profile.base_model.source == "tiny-random",
        ),
        Step(
            "seed_subset", "size", ("seed_examples",), _nothing, "inputs", ("polars", "pandera"), code_version="2",
            reads={"seed_examples": _head_of_the_pool},
        ),
        Step("teacher_model", "cell", ("seed_subset", "base_model"), _teacher, "teachers", ("huggingface", "pytorch"), True, code_version="3"),
        Step("synthetic_corpus", "cell", ("teacher_model",), _corpus, "corpora", ("pytorch", "polars"), True, code_version="2"),
        Step(
            "curated_corpus", "cell", ("synthetic_corpus", "seed_subset", "seed_examples", "benchmark_questions"), _curation,
            "corpora", ("polars", "pandera"), code_version="5", reads={"seed_examples": _prompts_of_the_pool},
        ),
        Step("corpus_profile", "cell", ("curated_corpus",), _seed_only, "corpora", ("polars",), code_version="2"),
        Step(
            "student_model", "cell", ("curated_corpus", "seed_subset", "base_model"), _student, "students",
            ("huggingface", "pytorch"), True, code_version="3", reads={"curated_corpus": _kept_rows},
        ),
        Step("student_scores", "cell", ("student_model", "benchmark_questions"), _evaluation, "scores", ("pytorch", "polars"), True, code_version="3"),
        Step("control_model", "size", ("seed_subset", "base_model"), _student, "students", ("huggingface", "pytorch"), True, code_version="3"),
        Step("control_scores", "size", ("control_model", "benchmark_questions"), _evaluation, "scores", ("pytorch", "polars"), True, code_version="3"),
        Step("base_scores", "none", ("base_model", "benchmark_questions"), _evaluation, "scores", ("pytorch", "polars"), True, code_version="3"),
        Step(
            "recipe_report", "none", ("student_scores", "control_scores", "base_scores", "corpus_profile", "curated_corpus"),
            _report, "report", ("markdown", "html"), code_version="2", optional_parents=True,
        ),
    )
}  # fmt: skip


def ancestors(name: str) -> set[str]:
    """Every asset that one is made from, directly or through others."""
    return {*STEPS[name].parents}.union(*(ancestors(parent) for parent in STEPS[name].parents))


def parent_places(step: Step, cell: Cell, grid: Grid) -> list[tuple[str, Cell]]:
    """The (asset, cell) pairs a step reads: its own coordinates of a coarser parent, all cells of a finer one."""
    places = []
    for name in step.parents:
        for member in grid.members(STEPS[name].partitions):
            if cell.train_size is None or member in (Cell(), Cell(cell.train_size), cell):
                places.append((name, member))
    return places


def find_parents(step: Step, cell: Cell, grid: Grid, store: Store) -> dict[tuple[str, Cell], Artifact]:
    """Current artifacts of all parents. Raises NomadError naming the first that is missing, unless they are optional."""
    found = {}
    withdrawals = store.withdrawals() if step.optional_parents else []
    for name, place in parent_places(step, cell, grid):
        artifact = store.current(name, place) if step.optional_parents else store.require(name, place)
        if artifact is None or is_withdrawn(artifact, withdrawals):
            continue
        found[name, place] = artifact
    return found


def refuse_withdrawn(parents: dict[tuple[str, Cell], Artifact], withdrawals: list[dict]) -> None:
    """Raises NomadError when a parent was made with a withdrawn seed row: nothing more is made of it."""
    for artifact in parents.values():
        if is_withdrawn(artifact, withdrawals):
            raise NomadError(
                f"its parent {artifact.manifest.artifact_id} was made with a withdrawn seed row; make that one again first"
            )


def settings_of(step: Step, profile: Profile, grid: Grid, cell: Cell, store: Store) -> dict:
    """The settings that an artifact's content depends on, with the seed rows that were withdrawn where it reads seeds."""
    settings = step.settings(profile, grid, cell)
    withdrawn = withdrawn_rows(store.withdrawals()) if step.reads_seeds(profile) else {}
    return {**settings, "withdrawn": sorted(withdrawn)} if withdrawn else settings


def withdrawn_rows(withdrawals: list[dict]) -> dict[str, dict]:
    """All seed rows that were withdrawn: id -> source and content key, as `seeds.build_pool` takes them."""
    return {row: facts for withdrawal in withdrawals for row, facts in withdrawal["rows"].items()}


def is_withdrawn(artifact: Artifact, withdrawals: list[dict]) -> bool:
    """Whether a withdrawn seed row reached this artifact."""
    return any(artifact.manifest.artifact_id in withdrawal["artifacts"] for withdrawal in withdrawals)


def serves(artifact: Artifact | None, wanted: str, withdrawals: list[dict]) -> bool:
    """Whether an artifact is what a run that wants this input digest would make."""
    return artifact is not None and artifact.manifest.input_digest == wanted and not is_withdrawn(artifact, withdrawals)


def input_digest(step: Step, cell: Cell, settings: dict, parents: dict[tuple[str, Cell], Artifact]) -> str:
    """What decides whether there is work: code version, settings, and what is read of the parents."""
    contents = {}
    for (name, place), artifact in parents.items():
        read = step.reads.get(name)
        contents[f"{name}/{place.label}"] = read(artifact, cell) if read else artifact.manifest.content_digest
    return digest({"asset": step.name, "code_version": step.code_version, "settings": settings, "parents": contents})


def wanted_digest(step: Step, cell: Cell, profile: Profile, grid: Grid, store: Store) -> str:
    """The input digest of what a run would make now. Raises NomadError naming a parent that is missing."""
    parents = find_parents(step, cell, grid, store)
    return input_digest(step, cell, settings_of(step, profile, grid, cell, store), parents)


def is_current(step: Step, cell: Cell, profile: Profile, grid: Grid, store: Store) -> bool:
    """Whether the current artifact was made from exactly what a run would read now."""
    artifact = store.current(step.name, cell)
    places = parent_places(step, cell, grid)
    if artifact is None or (not step.optional_parents and any(store.current(*place) is None for place in places)):
        return False
    return serves(artifact, wanted_digest(step, cell, profile, grid, store), store.withdrawals())
