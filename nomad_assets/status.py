"""What there is and what a run would make: every place with its state and the reasons, field by field."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.fingerprint import Change, drift, library_drift, place_name
from nomad_assets.engine.machine import libraries
from nomad_assets.engine.plan import is_withdrawn, plan
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError, NotMadeError
from nomad_assets.grid import Grid
from nomad_assets.looks import settled
from nomad_assets.plugins import is_plugin
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.curation.embedding import PACKAGED
from nomad_assets.recipe.models.base_models import BUILT_IN
from nomad_assets.store.manifests import Artifact, OtherFormatError
from nomad_assets.store.protocol import Store

State = Literal["current", "out of date", "missing", "withdrawn", "unreadable", "not needed"]


@dataclass(frozen=True)
class PlaceStatus:
    """One asset in one cell."""

    step: Step
    cell: Cell
    state: State
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What makes nothing out of date: other versions of libraries."""
    artifact: Artifact | None = None

    @property
    def place(self) -> str:
        return place_name(self.step.name, self.cell)

    @property
    def is_fine(self) -> bool:
        """Whether a run would leave the place as it is. One is not needed where the answer was settled by fewer replicates."""
        return self.state in ("current", "not needed")

    def record(self) -> dict:
        """As JSON."""
        return {
            "asset": self.step.name, "partition": self.cell.label, "state": self.state, "reasons": self.reasons,
            "notes": self.notes, "artifact_id": self.artifact.manifest.artifact_id if self.artifact else None,
        }  # fmt: skip


def status(grid: Grid, store: Store, steps: Iterable[str] | None = None) -> list[PlaceStatus]:
    """The state of every place, parents before children. Raises OtherFormatError when another version wrote the store.

    A place whose parent is not current is out of date, too: it is made again unless the parent comes out as it was. What is
    made only where it is asked for is listed once it is there, or where `steps` names it.
    """
    found: dict[tuple[str, Cell], PlaceStatus] = {}
    withdrawals, last = store.withdrawals(), settled(grid, store)
    for step, cell in [*grid.all_places(), *grid.asked_places()]:
        if steps is None or step.name in steps:
            state = _status(step, cell, grid, store, withdrawals, found)
            if last is not None and cell.replicate >= last.look.replicates and state.state == "missing":
                state = replace(state, state="not needed", reasons=[f"settled {last.words()}"])
            found[step.name, cell] = state
    return [place for place in found.values() if steps is not None or not place.step.asked or place.state != "missing"]


def _status(step: Step, cell: Cell, grid: Grid, store: Store, withdrawals: list[dict], above: dict) -> PlaceStatus:
    try:
        artifact = store.current(step.name, cell)
    except OtherFormatError:
        raise
    except NomadError as error:
        return PlaceStatus(step, cell, "unreadable", [str(error)])
    if artifact is None:
        return PlaceStatus(step, cell, "missing")
    notes = [str(change) for change in library_drift(artifact.manifest, libraries())]
    if damage := _damage(artifact):
        return PlaceStatus(step, cell, "unreadable", [damage], notes, artifact)
    if is_withdrawn(artifact, withdrawals):
        return PlaceStatus(step, cell, "withdrawn", ["made with a withdrawn seed row"], notes, artifact)
    waits = [
        above[place] for place in grid.places(step, cell) if place in above and not above[place].is_fine
        and not (step.inputs[place[0]].optional and above[place].state == "missing")
    ]  # fmt: skip
    reasons: list[Change | str] = []
    try:
        if all(parent.state != "unreadable" for parent in waits):
            reasons += drift(artifact.manifest, plan(step, cell, grid, store).wanted)
    except NotMadeError as error:
        reasons.append(f"{error.asset} [{error.cell}] is missing")
    except NomadError as error:
        reasons.append(str(error))
    if not reasons:
        reasons += [f"{parent.place} is {parent.state}" for parent in waits]
    state: State = "out of date" if reasons else "current"
    return PlaceStatus(step, cell, state, [str(reason) for reason in reasons], notes, artifact)


def _damage(artifact: Artifact) -> str | None:
    """What is wrong with an artifact's files, as far as their names and sizes tell; checks compare contents."""
    for name, facts in artifact.manifest.files.items():
        try:
            size = (artifact / name).stat().st_size
        except FileNotFoundError:
            return f"{name} is missing"
        if size != facts["bytes"]:
            return f"{name} has {size} bytes, its manifest says {facts['bytes']}"
    return None


def seconds_before(states: list[PlaceStatus]) -> dict[tuple[str, Cell], float]:
    """What each place took the last time, or other cells of its asset did at the median; without what is not known."""
    known: dict[str, list[float]] = {}
    for state in states:
        if state.artifact is not None:
            known.setdefault(state.step.name, []).append(state.artifact.manifest.seconds)
    return {
        (state.step.name, state.cell): state.artifact.manifest.seconds if state.artifact else statistics.median(known[state.step.name])
        for state in states
        if state.step.name in known
    }  # fmt: skip


@dataclass(frozen=True)
class Problems:
    """What will keep a run from being made, each a sentence."""

    missing: dict[str, str]
    """By the profile's key: files and folders that are not there."""
    places: dict[tuple[str, Cell], str]
    """Places that can never be made."""
    pool: str | None = None
    """Why the seed pool cannot be built."""

    def words(self) -> list[str]:
        places = [f"{place_name(*place)}: {text}" for place, text in self.places.items()]
        return [f"{key}: {text}" for key, text in self.missing.items()] + places + ([self.pool] if self.pool else [])


def problems(grid: Grid, store: Store) -> Problems:
    """What can be known before anything is trained: missing files, and train sizes beyond the seed pool.

    A pool that is not current is built in memory, where all its sources are local.
    """
    missing = missing_files(grid.profile)
    if missing:
        return Problems(missing, {})
    try:
        return Problems({}, _sizes_beyond_the_pool(grid, store))
    except NomadError as error:
        return Problems({}, {}, str(error))


def missing_files(profile: Profile) -> dict[str, str]:
    """Profile key -> what is wrong with the file or folder that it names."""
    benchmarks = {name: b.source.path for name, b in profile.benchmarks.items() if b.source is not None}
    models = {
        "base_model.source": profile.base_model.source,
        "base_model.chat_template": profile.base_model.chat_template,
        "curation.embedder": profile.curation.embedder,
    }
    for key, synthesis in profile.syntheses().items():
        models |= {
            f"{key}.answerer": synthesis.answerer_source, f"{key}.answerer_chat_template": synthesis.answerer_chat_template,
        }  # fmt: skip
    named = {
        **{f"seeds.sources.{number}": source.path for number, source in enumerate(profile.seeds.sources)},
        **{f"benchmarks.{name}": path for name, path in benchmarks.items()},
        **{key: value for key, value in models.items() if value not in (None, "chatml", PACKAGED, *BUILT_IN)},
    }
    return {
        key: f"{path}: no such file or folder; put it at {profile.resolve(path)}"
        for key, path in named.items()
        if not path.startswith("hf://") and not is_plugin(path) and not Path(profile.resolve(path)).exists()
    }


def _sizes_beyond_the_pool(grid: Grid, store: Store) -> dict[tuple[str, Cell], str]:
    rows = _pool_rows(grid, store)
    if rows is None:
        return {}
    text = "{}: {} is larger than the seed pool of {} rows; use at most {}"
    beyond = [cell for cell in grid.sizes if cell.train_size > rows]
    found = {("seed_subset", cell): text.format("grid.train_sizes", cell.train_size, rows, rows) for cell in beyond}
    for name, over in (("control_model", Over.CONTROLS), ("student_model", Over.SELECTIONS)):
        for cell in grid.members(over):
            gold, known = grid.graph[name].config.of(grid, cell, {}).gold.size, cell.at(Over.SIZES) in beyond
            if gold <= rows or known:
                continue
            if cell.variant == "gold" and not cell.arm:
                found[name, cell] = (
                    f"controls.gold: {cell.train_size} seed examples and as many further ones as curation.keep are {gold}, and the "
                    f"seed pool has {rows} rows; leave it out, or keep fewer"
                )
            else:
                found[name, cell] = text.format("student.seeds", gold, rows, rows)
    return found


def _pool_rows(grid: Grid, store: Store) -> int | None:
    """Rows of the pool that a run would use; None where only the run itself can tell."""
    from nomad_assets.recipe.data.seed_pool import build_pool
    from nomad_assets.steps.benchmarks import question_triples, questions_of

    step = grid.graph["seed_examples"]
    now = plan(step, Cell(), grid, store)
    try:
        current = store.current(step.name, Cell())
    except NomadError:
        current = None  # its manifest cannot be read
    if current is not None and current.manifest.fingerprint == now.wanted.digest:
        return current.manifest.rows
    sources = [*now.config.seeds, *(benchmark.source for benchmark in now.config.benchmarks)]
    if any(source.path.startswith("hf://") or is_plugin(source.path) for source in sources):
        return None
    seeds = [source.read(now.config.withdrawn) for source in now.config.seeds]
    pool, _ = build_pool(
        seeds, question_triples(questions_of(now.config.benchmarks)), now.config.seed, now.config.withdrawn
    )
    return pool.height
