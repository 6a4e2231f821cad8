"""Running checks over a store: every place, every check, one result each."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from nomad_assets.assets.project import Project
from nomad_assets.cells import Cell
from nomad_assets.checks import CHECKS, LINEAGE, MAX_ROWS, Check, Finding, Severity, Stored
from nomad_assets.errors import NomadError
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import STEPS


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


def check_store(profile: str | None, assets: list[str], cells: list[str]) -> list[Result]:
    """Check what is stored, or only these assets and cells.

    Raises NomadError on an unknown asset or cell, and when nothing of what was asked for is stored.
    """
    project = Project(load_profile(profile))
    known = [*STEPS, LINEAGE]
    unknown = [name for name in assets if name not in known]
    if unknown:
        raise NomadError(f"--asset {unknown[0]!r}: unknown asset; known: {', '.join(known)}")
    wanted = [project.grid.parse(text) for text in cells]
    results = list(check_places(project, assets or known, wanted))
    if not results:
        raise NomadError(f"nothing of this is stored in {project.store.root}; run nomad-assets run first")
    return results


def check_places(project: Project, assets: list[str], cells: list[Cell] | None = None) -> Iterator[Result]:
    """Results for every stored partition of the assets; with cells, for those alone."""
    for asset in assets:
        places = [Cell()] if asset == LINEAGE else project.grid.members(STEPS[asset].partitions)
        for cell in places:
            if not cells or cell in cells:
                yield from check_place(project, asset, cell)


def check_place(project: Project, asset: str, cell: Cell, names: set[str] | None = None) -> list[Result]:
    """Results of the checks of one place; none when nothing is stored there."""
    stored = None
    try:
        artifact = None if asset == LINEAGE else project.store.current(asset, cell)
        if (artifact is None and asset != LINEAGE) or not project.store.root.is_dir():
            return []
        stored = Stored(project.profile, project.grid, project.store, asset, cell, artifact)
        problem = None
    except NomadError as error:  # its manifest cannot be read
        problem = str(error)
    chosen = [check for check in CHECKS if asset in check.assets and (names is None or check.name in names)]
    return [_evaluate(check, asset, cell, stored, problem) for check in chosen]


def _evaluate(check: Check, asset: str, cell: Cell, stored: Stored | None, problem: str | None) -> Result:
    if stored is None:
        return Result(check, asset, cell, Finding(False, str(problem)), "ERROR")
    try:
        with stored.store.reading([stored.artifact] if stored.artifact else []):
            return Result(check, asset, cell, check.function(stored), check.severity)
    # What cannot be checked has not passed, and says why; polars panics on some damaged files.
    except (Exception, pl.exceptions.PanicException) as error:
        return Result(
            check, asset, cell, Finding(False, f"could not be checked: {type(error).__name__}: {error}"), "ERROR"
        )
