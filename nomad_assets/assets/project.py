"""How an asset runs: reuse, staging, validation before publishing, the manifest, and what Dagster is told."""

import errno
import importlib.metadata
import inspect
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import polars as pl

from nomad_assets.errors import NomadError
from nomad_assets.partitions import Cell, Grid
from nomad_assets.profile import Profile
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.schemas import Table, validate
from nomad_assets.steps import STEPS, Step, find_parents, input_digest
from nomad_assets.storage import SCRATCH, Artifact, Store

OBSERVE_EVERY_SECONDS = 15.0
LIBRARIES = (
    "accelerate",
    "dagster",
    "datasketch",
    "duckdb",
    "lm_eval",
    "pandera",
    "polars",
    "sentence-transformers",
    "torch",
    "transformers",
    "vllm",
)


class StepConfig(dg.Config):
    """What can be set for one run in the launchpad."""

    force: bool = False
    """Make the artifact again although nothing that it depends on has changed."""


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

    def __init__(self, profile: Profile, store: Store | None = None, listener: Progress = silent):
        self.profile, self.grid = profile, Grid(profile)
        self.store = store or Store.of(profile)
        self.listener = listener

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
        )
        def run_step(context: dg.AssetExecutionContext, config: StepConfig) -> dg.MaterializeResult:
            return self._run(context, step, body, config.force)

        return run_step

    def _run(
        self, context: dg.AssetExecutionContext, step: Step, body: Callable[[Work], Outcome], force: bool
    ) -> dg.MaterializeResult:
        cell = self.grid.cell_of(context.partition_key if context.has_partition_key else None)
        place = f"{step.name} [{cell.label}]"
        try:
            settings = step.settings(self.profile, self.grid, cell)
            parents = find_parents(step, cell, self.grid, self.store)
            digest = input_digest(step, settings, parents)
            with self.store.staging(step.name, cell, digest) as stage:
                current = self.store.current(step.name, cell)
                if current is not None and current.manifest.input_digest == digest and not force:
                    shutil.rmtree(stage)
                    context.log.info(f"{place}: nothing changed, reusing {current.manifest.artifact_id}")
                    return _result(current, reused=True, metadata={})
                record = {
                    "input_digest": digest,
                    "settings": settings,
                    "code_version": step.code_version,
                    "run_id": context.run.run_id,
                }
                return self._make(context, step, cell, stage, body, parents, record)
        except NomadError as error:
            raise _failure(str(error) if place in str(error) else f"{place}: {error}", error) from error
        except Exception as error:
            reason = _disk_problem(error)
            if reason is None:
                raise
            raise _failure(
                f"{place}: could not write to {self.store.root}: {reason}; make room and run again. What was published before is intact"
            ) from error

    def _make(self, context, step: Step, cell: Cell, stage: Path, body, parents, record: dict) -> dg.MaterializeResult:
        work = Work(
            profile=self.profile, grid=self.grid, store=self.store, cell=cell, stage=stage, parents=parents, name=step.name,
            warn=context.log.warning,
            seed=derive_seed(self.profile.seed, step.name, _seed_cell(cell, self.grid)),
            progress=_Observer(context, self.listener, f"{step.name} {cell.label}"),
        )  # fmt: skip
        peak_reset = _reset_peak_memory()
        started, clock = time.time(), time.monotonic()
        outcome = body(work)
        artifact = self.store.publish(
            stage, step.name, cell,
            **record,
            parents={f"{name}/{place.label}": parent.manifest.artifact_id for (name, place), parent in parents.items()},
            started=started,
            ended=time.time(),
            seconds=round(time.monotonic() - clock, 3),
            rows=outcome.rows,
            tokens=outcome.tokens,
            peak_memory_bytes=_peak_memory(peak_reset),
            seed=work.seed,
            metrics=outcome.metrics,
            libraries=_versions(),
            host=_host(),
        )  # fmt: skip
        context.log.info(f"{step.name} [{cell.label}]: published {artifact.manifest.artifact_id}")
        return _result(artifact, reused=False, metadata=outcome.metadata)


def _disk_problem(error: Exception) -> str | None:
    """Why the disk takes no more, or None. polars, safetensors and torch tell it only in the text of errors of their own."""
    for code in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        text = os.strerror(code)
        if getattr(error, "errno", None) == code or f"{text} (os error {code})" in str(error):
            return text
    return None


def _seed_cell(cell: Cell, grid: Grid) -> str:
    """Arms with the same replicate index share their seeds, so that they differ in the loss weight alone."""
    if cell.arm is None:
        return cell.label
    return f"{cell.train_size}/replicate {grid.arms[cell.arm].replicate}"


def _result(artifact: Artifact, reused: bool, metadata: dict[str, dg.MetadataValue]) -> dg.MaterializeResult:
    record = artifact.manifest
    facts: dict[str, object] = {
        "artifact_id": record.artifact_id,
        "reused": reused,
        "parents": dg.MetadataValue.md("\n".join(f"- `{parent}`" for parent in record.parents.values()) or "none"),
        "folder": dg.MetadataValue.path(str(artifact.path)),
        "seconds": record.seconds,
    }
    if record.rows is not None:
        facts["dagster/row_count"] = record.rows
    if record.tokens is not None:
        facts["tokens"] = record.tokens
    if record.peak_memory_bytes is not None:
        facts["peak_memory_mib"] = record.peak_memory_bytes / 2**20
    numbers = {name: value for name, value in record.metrics.items() if isinstance(value, int | float | str)}
    return dg.MaterializeResult(
        metadata={**facts, **numbers, **metadata}, data_version=dg.DataVersion(record.content_digest[:16])
    )


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

    def __call__(self, stage: str, done: float, total: float, facts: dict[str, float]) -> None:
        self.listener(self.label, done, total, facts)
        if time.monotonic() - self.last < OBSERVE_EVERY_SECONDS:
            return
        self.last = time.monotonic()
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


def _reset_peak_memory() -> bool:
    """Start counting the process's peak afresh, so that it is this step's (Linux); False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_memory(was_reset: bool) -> int | None:
    """Peak resident memory in bytes since the reset; None where the platform does not tell."""
    if not was_reset:
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match.group(1)) * 1024 if match else None


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _host() -> dict[str, str]:
    facts = {
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cpus": str(os.cpu_count()),
    }
    if "torch" in sys.modules:  # a step that did not need it should not load it for this
        import torch

        facts["device"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return facts
