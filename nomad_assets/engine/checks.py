"""Checks: assertions about what is stored, and what they are asked of.

A step declares its own beside its body. The same functions run as Dagster asset checks, in the job that checks everything,
and behind `nomad-assets check`. A check of severity ERROR says that an artifact must not be used; WARN that somebody should
look.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.engine.step import Severity, Step
from nomad_assets.engine.tables import Table, validate
from nomad_assets.errors import NomadError
from nomad_assets.recipe.models.loading import is_pickled
from nomad_assets.store.digests import file_digest
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

MAX_ROWS = 20


@dataclass(frozen=True)
class Finding:
    """What a check found: a sentence, numbers for the UI to plot, and the offending rows (at most 20 are shown)."""

    passed: bool
    text: str
    numbers: dict[str, float] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Stored:
    """What a check looks at: one published artifact, and the store that it lies in."""

    grid: Any
    store: Store
    step: Step
    cell: Cell
    artifact: Artifact

    def table(self, table: type[Table]) -> pl.DataFrame:
        return self.artifact.read(self.step.file_of(table))

    def table_of(self, artifact: Artifact, table: type[Table]) -> pl.DataFrame:
        """A table of another artifact."""
        return artifact.read(self.grid.graph[artifact.manifest.asset].file_of(table))

    def parent(self, asset: str) -> Artifact | None:
        """The artifact this one was made from, if it is still stored."""
        for place, artifact_id in self.artifact.manifest.parents.items():
            name, _, label = place.partition("/")
            if name == asset:
                versions = self.store.versions(asset, Cell.of_label(label))
                return next((a for a in versions if a.manifest.artifact_id == artifact_id), None)
        return None

    def current(self, asset: str, cell: Cell | None = None) -> Artifact | None:
        """The newest version of an asset: of the whole grid, or of a cell."""
        return self.store.current(asset, cell or Cell())

    def files(self) -> dict[str, Path]:
        """Every file that lies with the artifact, by its relative path; the manifest is none of them."""
        return self.artifact.files()


@dataclass(frozen=True)
class Check:
    """A named assertion; its function's docstring is its description."""

    name: str
    severity: Severity
    function: Callable[[Stored], Finding]

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""


def stored_tables_keep_their_contract(stored: Stored) -> Finding:
    """Every stored table still conforms to its schema: columns, types and values."""
    rows: list[dict] = []
    there = stored.files()
    for name, contract in stored.step.tables.items():
        if name not in there:
            rows.append({"table": name, "problem": "missing"})
            continue
        try:
            validate(stored.artifact.read(name), contract, name)
        except NomadError as error:
            rows += [{"table": name, "problem": str(error), **case} for case in error.cases or [{}]]
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            rows.append({"table": name, "problem": f"not readable: {error}"})
    checked = len(stored.step.tables)
    return Finding(not rows, rows[0]["problem"] if rows else f"{checked} tables conform", {"tables": checked}, rows)


def stored_files_match_their_manifest(stored: Stored) -> Finding:
    """Every file is there with the bytes and the sha256 of its manifest, none is added, and none is a pickle."""
    present, listed = stored.files(), stored.artifact.manifest.files
    rows = [{"file": name, "problem": "missing"} for name in sorted(set(listed) - set(present))]
    rows += [{"file": name, "problem": "not in the manifest"} for name in sorted(set(present) - set(listed))]
    rows += [{"file": n, "problem": "a pickle"} for n in sorted(present) if is_pickled(PurePosixPath(n).name)]
    for name in sorted(set(present) & set(listed)):
        if file_digest(present[name]) != listed[name]["sha256"]:
            rows.append({"file": name, "problem": "its content has changed since it was published"})
    text = f"{rows[0]['file']}: {rows[0]['problem']}" if rows else f"{len(listed)} files match"
    return Finding(not rows, text, {"files": len(listed)}, rows)


def checks_of(step: Step) -> list[Check]:
    """The checks of a step: those that every artifact has, and its own."""
    tables = (
        [Check("stored_tables_keep_their_contract", "ERROR", stored_tables_keep_their_contract)] if step.tables else []
    )
    files = Check("stored_files_match_their_manifest", "ERROR", stored_files_match_their_manifest)
    return [*tables, files, *step.checks]


@dataclass(frozen=True)
class Result:
    """One check in one place. A check that raised has severity ERROR, whatever its own."""

    check: Check
    asset: str
    cell: Cell
    finding: Finding
    severity: Severity

    @property
    def place(self) -> str:
        return f"{self.asset} [{self.cell.label}]"

    @property
    def is_error(self) -> bool:
        return not self.finding.passed and self.severity == "ERROR"

    def record(self) -> dict:
        """As JSON: asset, partition, check, severity, passed, text, numbers, and up to 20 rows."""
        return {
            "asset": self.asset, "partition": self.cell.label, "check": self.check.name, "severity": self.severity,
            "passed": self.finding.passed, "text": self.finding.text, "numbers": self.finding.numbers,
            "rows": self.finding.rows[:MAX_ROWS],
        }  # fmt: skip


def check_places(grid: Any, store: Store, steps: list[Step], cells: list[Cell] | None = None) -> Iterator[Result]:
    """Results for every stored partition of the steps; with cells, for those alone."""
    for step in steps:
        for cell in grid.members(step.over):
            if not cells or cell in cells:
                yield from check_place(grid, store, step, cell)


def check_place(grid: Any, store: Store, step: Step, cell: Cell, names: set[str] | None = None) -> list[Result]:
    """Results of the checks of one place; none when nothing is stored there."""
    stored, problem = None, None
    try:
        artifact = store.current(step.name, cell)
        if artifact is None:
            return []
        stored = Stored(grid, store, step, cell, artifact)
    except NomadError as error:  # its manifest cannot be read
        problem = str(error)
    chosen = [check for check in checks_of(step) if names is None or check.name in names]
    return [_evaluate(check, step, cell, stored, problem) for check in chosen]


def _evaluate(check: Check, step: Step, cell: Cell, stored: Stored | None, problem: str | None) -> Result:
    if stored is None:
        return Result(check, step.name, cell, Finding(False, str(problem)), "ERROR")
    try:
        with stored.store.reading([stored.artifact]):
            return Result(check, step.name, cell, check.function(stored), check.severity)
    # What cannot be checked has not passed, and says why; polars panics on some damaged files.
    except (Exception, pl.exceptions.PanicException) as error:
        finding = Finding(False, f"could not be checked: {type(error).__name__}: {error}")
        return Result(check, step.name, cell, finding, "ERROR")
