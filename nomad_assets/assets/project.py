"""How an asset runs: reuse, staging, validation before publishing, the manifest, and what Dagster is told."""

import errno
import inspect
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from nomad_assets.assets.automation import condition, freshness
from nomad_assets.assets.kept import Kept
from nomad_assets.assets.machine import host, versions
from nomad_assets.cells import Cell
from nomad_assets.columns import column_metadata
from nomad_assets.errors import NomadError
from nomad_assets.integrations.openlineage import Attempt, emitter
from nomad_assets.integrations.tracking import tracker
from nomad_assets.lineage.sync import sync_if_free
from nomad_assets.profile.grid import Grid
from nomad_assets.profile.load import changed
from nomad_assets.profile.sections import Profile
from nomad_assets.recipe.memory import peak_memory, reset_peak_memory
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.schemas import Table, validate
from nomad_assets.steps import (
    STEPS,
    UNDIGESTED,
    Step,
    find_parents,
    input_digest,
    refuse_withdrawn,
    serves,
    settings_of,
    withdrawn_rows,
)
from nomad_assets.storage import SCRATCH, Artifact, Store

OBSERVE_EVERY_SECONDS = 15.0


class StepConfig(dg.Config):
    """What can be set for one run in the launchpad."""

    force: bool = Field(False, description="Make the artifact again although nothing that it depends on has changed.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the profile that are other ones for this run: {teacher.learning_rate: 0.0002}. The "
        "artifact records them; the next run of the unchanged profile makes it again.",
    )


@dataclass
class Outcome:
    """What a step says of the artifact it staged. `metadata` is shown in the UI beside the manifest's figures."""

    rows: int | None = None
    tokens: int | None = None
    metrics: dict[str, float | int | str | list | None] = field(default_factory=dict)
    metadata: dict[str, dg.MetadataValue] = field(default_factory=dict)


@dataclass
class Work:
    """What a step's body works with."""

    profile: Profile
    grid: Grid
    store: Store
    cell: Cell
    stage: Path
    seed: int
    progress: Progress
    parents: dict[tuple[str, Cell], Artifact]
    name: str
    warn: Callable[[str], None]
    kept: Kept
    withdrawn: dict[str, dict] = field(default_factory=dict)
    """Seed rows that must not be used any more: id -> source and content key."""

    @property
    def scratch(self) -> Path:
        """Inside staging: kept over a crash, dropped before publishing."""
        return self.stage / SCRATCH

    def parent(self, name: str) -> Artifact:
        """The one current artifact of a parent that is not partitioned more finely than this step."""
        (artifact,) = (artifact for (asset, _), artifact in self.parents.items() if asset == name)
        return artifact

    def read(self, name: str, table: str) -> pl.DataFrame:
        return pl.read_parquet(self.parent(name) / table)

    def write(self, table: pl.DataFrame, name: str, schema: type[Table]) -> pl.DataFrame:
        """Validate a table against its contract and stage it; nothing invalid is ever published."""
        place = f"{self.name} [{self.cell.label}] {name}"
        path = self.stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        validate(table, schema, place).write_parquet(path)
        return table


class Project:
    """One profile with its grid, its store, and who listens to progress."""

    def __init__(
        self, profile: Profile, store: Store | None = None, listener: Progress = silent, keep_engines: bool = False
    ):
        """`keep_engines`: this process goes on from cell to cell."""
        self.profile, self.grid, self.kept = profile, Grid(profile), Kept(keep_engines)
        self.store = store or Store.of(profile)
        self.listener = listener
        self.emitter, self.tracker = emitter(profile), tracker(profile)

    def asset(self, body: Callable[[Work], Outcome]) -> dg.AssetsDefinition:
        """Decorator: the asset of the step that has the body's name; its docstring is the description in the UI."""
        step = STEPS[body.__name__]

        @dg.asset(
            name=step.name,
            deps=list(step.parents),
            partitions_def=self.grid.partitions(step.partitions),
            group_name=step.group,
            kinds=set(step.kinds),
            code_version=step.code_version,
            pool="accelerator" if step.heavy else None,
            description=inspect.getdoc(body),
            owners=self.profile.owners,
            tags={"nomad/profile": self.profile.name, "nomad/needs": "accelerator" if step.heavy else "cpu"},
            automation_condition=condition(step),
            freshness_policy=freshness(self.profile) if step.name == "recipe_report" else None,
        )
        def run_step(context: dg.AssetExecutionContext, config: StepConfig) -> dg.MaterializeResult:
            return self._run(context, step, body, config)

        return run_step

    def _run(
        self, context: dg.AssetExecutionContext, step: Step, body: Callable[[Work], Outcome], config: StepConfig
    ) -> dg.MaterializeResult:
        cell = self.grid.cell_of(context.partition_key if context.has_partition_key else None)
        place = f"{step.name} [{cell.label}]"
        stage = None
        try:
            profile = self._changed(step, cell, config.settings)
            while True:
                withdrawals = self.store.withdrawals()
                settings = settings_of(step, profile, self.grid, cell, self.store)
                parents = find_parents(step, cell, self.grid, self.store)
                refuse_withdrawn(parents, withdrawals)
                digest = input_digest(step, cell, settings, parents)
                with self.store.reading(parents.values()), self.store.staging(step.name, cell, digest) as stage:
                    now = find_parents(step, cell, self.grid, self.store), self.store.withdrawals()
                    if now != (parents, withdrawals):
                        continue  # while this step waited for its place, what it reads was made again
                    current = self.store.current(step.name, cell)
                    if not config.force and serves(current, digest, withdrawals):
                        shutil.rmtree(stage)
                        context.log.info(f"{place}: nothing changed, reusing {current.manifest.artifact_id}")
                        shown = _shown_before(context, current.manifest.artifact_id)
                        return _result(current, profile, reused=True, metadata=shown)
                    record = {
                        "input_digest": digest,
                        "settings": settings,
                        "code_version": step.code_version,
                        "run_id": context.run.run_id,
                    }
                    return self._make(context, profile, step, cell, stage, body, parents, record, withdrawals)
        except NomadError as error:
            raise _failure(str(error) if place in str(error) else f"{place}: {error}", error) from error
        except Exception as error:
            problem = _storage_problem(error, self.store, stage)
            if problem is None:
                raise
            raise _failure(f"{place}: {problem}") from error

    def _changed(self, step: Step, cell: Cell, settings: dict[str, object]) -> Profile:
        """The profile as this run wants it. Raises NomadError when what it changes is not read by the step."""
        profile = self.profile
        for key, value in settings.items():
            found = changed(profile, {key: value}, "settings")
            before, after = (settings_of(step, p, self.grid, cell, self.store) for p in (profile, found))
            if found != profile and before == after and key not in UNDIGESTED.get(step.name, ()):
                raise NomadError(f"settings: {key!r} is not read by {step.name}; set it at the asset that reads it")
            profile = found
        return profile

    def _make(
        self,
        context,
        profile: Profile,
        step: Step,
        cell: Cell,
        stage: Path,
        body,
        parents,
        record: dict,
        withdrawals: list[dict],
    ) -> dg.MaterializeResult:
        work = Work(
            profile=profile, grid=self.grid, store=self.store, cell=cell, stage=stage, parents=parents, name=step.name,
            warn=context.log.warning, kept=self.kept, withdrawn=withdrawn_rows(withdrawals),
            seed=derive_seed(profile.seed, step.name, _seed_cell(cell, self.grid)),
            progress=_Observer(context, self.listener, f"{step.name} {cell.label}"),
        )  # fmt: skip
        record["parents"] = {
            f"{name}/{place.label}": parent.manifest.artifact_id for (name, place), parent in parents.items()
        }
        attempt = Attempt(
            step.name, cell, context.run.run_id, context.run.job_name, context.retry_number, record["parents"]
        )
        peak_reset = reset_peak_memory()
        started, clock = time.time(), time.monotonic()
        with (
            self.emitter.reporting(attempt, context.log.warning)
            if self.emitter
            else nullcontext(lambda _: None) as completed
        ):
            outcome = body(work)
            seconds = round(time.monotonic() - clock, 3)
            artifact = self.store.publish(
                stage, step.name, cell, withdrawals,
                **record,
                started=started,
                ended=max(time.time(), started),  # a clock that was set back must not give a negative time
                seconds=seconds,
                rows=outcome.rows,
                tokens=outcome.tokens,
                peak_memory_bytes=peak_memory(peak_reset),
                seed=work.seed,
                metrics=outcome.metrics,
                libraries=versions(),
                host=host(),
            )  # fmt: skip
            completed(artifact)
        context.log.info(f"{step.name} [{cell.label}]: published {artifact.manifest.artifact_id}")
        sync_if_free(self.store)
        if self.tracker:
            self.tracker.record(artifact, context.log.warning)
        return _result(artifact, profile, reused=False, metadata=outcome.metadata)


def _storage_problem(error: Exception, store: Store, stage: Path | None) -> str | None:
    """What the disk or somebody else did to the store, as a sentence; None when the error is another one.

    polars, safetensors and torch tell an error number only in the text of errors of their own.
    """
    intact = "What was published before is intact"
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM):
        if getattr(error, "errno", None) == code or f"(os error {code})" in str(error):
            named = getattr(error, "filename", None)
            if code in (errno.EACCES, errno.EPERM) and not (named and _concerns(Path(os.fsdecode(named)), store.root)):
                continue  # a source that may not be read, for example
            remedy = "make room" if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "make it writable"
            return f"could not write to {store.root}: {os.strerror(code)}; {remedy} and run again. {intact}"
    if stage is not None and (not stage.is_dir() or _is_missing(error, stage)):
        return f"its folder in {store.root} was removed while the step was running; run again"
    return None


def _is_missing(error: Exception, stage: Path) -> bool:
    """Whether a file of the staging folder was not there: while somebody removes the folder, it goes file by file."""
    if getattr(error, "errno", None) != errno.ENOENT and f"(os error {errno.ENOENT})" not in str(error):
        return False
    named = getattr(error, "filename", None)
    path = Path(os.fsdecode(named)) if named else stage
    return not path.is_absolute() or path.is_relative_to(stage)  # relative: what rmtree could not find


def _concerns(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) or root.is_relative_to(path)


def _seed_cell(cell: Cell, grid: Grid) -> str:
    """Arms with the same replicate index share their seeds, so that they differ in the loss weight alone."""
    if cell.arm is None:
        return cell.label
    return f"{cell.train_size}/replicate {grid.arms[cell.arm].replicate}"


def _result(
    artifact: Artifact, profile: Profile, reused: bool, metadata: dict[str, dg.MetadataValue]
) -> dg.MaterializeResult:
    record = artifact.manifest
    facts: dict[str, object] = {"artifact_id": record.artifact_id, "reused": reused, **metadata}
    if record.rows is not None:
        facts["dagster/row_count"] = record.rows
    facts |= {name: value for name, value in record.metrics.items() if isinstance(value, int | float | str)}
    if record.tokens is not None:
        facts["tokens"] = record.tokens
    facts["seconds"] = record.seconds
    if profile.price_per_hour is not None:
        facts["cost"] = record.seconds / 3600 * profile.price_per_hour
    if record.peak_memory_bytes is not None:
        facts["peak_memory_mib"] = record.peak_memory_bytes / 2**20
    facts["mib_on_disk"] = sum(file["bytes"] for file in record.files.values()) / 2**20
    facts["folder"] = dg.MetadataValue.path(str(artifact.path))
    facts["parents"] = dg.MetadataValue.md("\n".join(f"- `{parent}`" for parent in record.parents.values()) or "none")
    return dg.MaterializeResult(
        metadata={**facts, **column_metadata(record.asset)}, data_version=dg.DataVersion(record.content_digest[:16])
    )


def _shown_before(context: dg.AssetExecutionContext, artifact_id: str) -> dict[str, dg.MetadataValue]:
    """Preview and plots of an earlier materialisation of the same artifact: the page of a reused one shows them too."""
    partitions = [context.partition_key] if context.has_partition_key else None
    wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=partitions)
    for record in context.instance.fetch_materializations(wanted, limit=5).records:
        metadata = record.asset_materialization.metadata
        if (known := metadata.get("artifact_id")) is not None and known.value == artifact_id:
            return {
                key: value
                for key, value in metadata.items()
                if isinstance(value, dg.MarkdownMetadataValue | dg.TableMetadataValue) and key != "parents"
            }
    return {}


def _failure(message: str, error: NomadError | None = None) -> dg.Failure:
    metadata: dict[str, dg.MetadataValue] = {}
    if error is not None and error.counts:
        metadata["failures_per_rule"] = dg.MetadataValue.json(error.counts)
    if error is not None and error.cases:
        records = [dg.TableRecord({key: str(value) for key, value in case.items()}) for case in error.cases]
        metadata["failing_rows"] = dg.MetadataValue.table(records)
    return dg.Failure(message, metadata=metadata, allow_retries=False)


class _Observer:
    """Passes progress to the listener at once, and to the UI as an observation now and then."""

    def __init__(self, context: dg.AssetExecutionContext, listener: Progress, label: str):
        self.context, self.listener, self.label = context, listener, label
        self.last = time.monotonic()
        self.begun: dict[str, tuple[float, float]] = {}  # stage -> time and work done when it was first heard of

    def __call__(self, stage: str, done: float, total: float, facts: dict[str, float]) -> None:
        self.listener(self.label, done, total, facts)
        now = time.monotonic()
        since, first = self.begun.setdefault(stage, (now, done))
        if now - self.last < OBSERVE_EVERY_SECONDS:
            return
        self.last = now
        if done > first and "seconds_left" not in facts:
            facts = {**facts, "seconds_left": (now - since) / (done - first) * (total - done)}
        partition = self.context.partition_key if self.context.has_partition_key else None
        metadata = {
            "stage": stage,
            "done": float(done),
            "total": float(total),
            **{k: float(v) for k, v in facts.items()},
        }
        self.context.log_event(
            dg.AssetObservation(asset_key=self.context.asset_key, partition=partition, metadata=metadata)
        )
