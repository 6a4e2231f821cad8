"""The Python API of a grid: run it, and read its tables, scores and report, without Dagster.

grid = load("quickstart")
grid.run(until="curated_corpus")
grid.table("curated_corpus", "64/unmasked")
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from nomad_assets.cells import Cell
from nomad_assets.engine.checks import check_places
from nomad_assets.engine.listeners import Listener
from nomad_assets.engine.step import Step
from nomad_assets.errors import NomadError, shown
from nomad_assets.grid import Grid
from nomad_assets.in_process import run_places
from nomad_assets.opening import open_grid
from nomad_assets.profile.load import changed, load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.status import status
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.report import HTML, LABEL_TYPES, MARKDOWN, SIDES
from nomad_assets.steps.scores import Scores
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

REPORT = "recipe_report"
STATUS = {
    "asset": str, "cell": str, "state": str, "reasons": pl.List(str), "notes": pl.List(str), "artifact_id": str,
}  # fmt: skip
CHECKED = {"asset": str, "cell": str, "check": str, "severity": str, "passed": bool, "text": str}


def load(
    profile: Profile | str | Path | None = None,
    *,
    settings: dict[str, object] | None = None,
    store: Store | None = None,
) -> "OpenGrid":
    """The grid of a profile: a name that ships, a path, or None for `nomad.toml` of this folder, else `quickstart`.

    `settings` changes some by their dotted keys, as in {"curation.keep": 20}; artifacts record what they were made with.
    Artifacts lie in `store`, by default in the folder of the profile's name under `NOMAD_HOME`, where the command line
    and Dagster find them too. Where Dagster handed over a seed table, that is what the seeds are read from.
    Raises NomadError that names the file, the key, the value and what is accepted.
    """
    loaded = profile if isinstance(profile, Profile) else load_profile(None if profile is None else str(profile))
    if settings:
        loaded = changed(loaded, settings, "settings")
    return OpenGrid(*open_grid(loaded, store))


@dataclass(frozen=True)
class Report:
    """The report as Markdown and as one HTML page."""

    markdown: str
    html: Path
    out_of_date: list[str] = field(default_factory=list)
    """Why a run would make it again; empty when it is current."""

    def __str__(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        """The page in a frame of its own: it brings its own styles and script."""
        page = html.escape(self.html.read_text(encoding="utf-8"))
        reasons = "".join(f"<p>Out of date: {html.escape(reason)}</p>" for reason in self.out_of_date)
        return f'{reasons}<iframe srcdoc="{page}" style="width: 100%; height: 80vh; border: 0"></iframe>'


class OpenGrid:
    """A profile's grid and the store of its artifacts."""

    def __init__(self, grid: Grid, store: Store):
        self._grid, self._store = grid, store

    def __repr__(self) -> str:
        return f"<grid {self.profile.name}: {', '.join(self.cells)} in {self._store.name}>"

    @property
    def profile(self) -> Profile:
        return self._grid.profile

    @property
    def cells(self) -> list[str]:
        """Labels of all cells, such as 64/unmasked."""
        return [cell.label for cell in self._grid.cells]

    @property
    def assets(self) -> list[str]:
        """Names of all assets, parents before children."""
        return list(self._grid.graph)

    def run(
        self,
        cells: Sequence[str] | str = (),
        until: str | None = None,
        force: bool | Sequence[str] | str = False,
        *,
        say: Callable[[str], None] | None = print,
        listeners: Sequence[Listener] = (),
    ) -> pl.DataFrame:
        """Make what is not up to date; what was interrupted goes on where it was. One row a place that was made.

        `cells`: only these; all without any. `until`: this asset and what it needs. `force`: True makes everything again
        that the run comes to, an asset or several only these. `say` gets a line for each start and end and now and
        then of how far a step is; None keeps it silent. `listeners` are told beside those that the profile names.
        The table's columns: asset, cell, seconds, rows, artifact_id.
        A failure ends its own cell and the others go on. Raises NomadError at the end that lists the failures, and at once
        on unknown cells or assets and on files that are missing.
        """
        chosen = [cells] if isinstance(cells, str) else list(cells)
        forced = [force] if isinstance(force, str) else force
        return run_places(self._grid, self._store, chosen, until, forced, say or (lambda text: None), listeners)

    def artifact(self, asset: str, cell: str | int | None = None) -> Artifact:
        """The newest version: `path` is its folder, `manifest` its record.

        Raises NomadError on an unknown asset or cell, and when it has not been made.
        """
        step = self._step(asset)
        return self._store.require(asset, self._place(step, cell))

    def table(self, asset: str, cell: str | int | None = None, name: str | None = None) -> pl.DataFrame:
        """A stored table: the asset's main one, or by its file's name, as in name="seed_points".

        Raises NomadError on an unknown asset, cell or name, and when it has not been made.
        """
        step = self._step(asset)
        if not step.tables:
            raise NomadError(f"{asset} has no tables; see artifact({asset!r}, …).path for its files")
        files = {file.removesuffix(".parquet"): file for file in step.tables}
        if name is not None and name not in files:
            raise NomadError(f"{asset}: unknown table {shown(name)}; it has {', '.join(files)}")
        artifact = self.artifact(asset, cell)
        with self._store.reading([artifact]):
            return artifact.read(files[name or next(iter(files))])

    def model(self, asset: str, cell: str | int | None = None) -> Path:
        """The folder of a model: weights, tokenizer, chat template. Raises NomadError as `artifact` does."""
        models = [step.name for step in self._grid.graph.values() if MODEL in step.files]
        if asset not in models:
            raise NomadError(f"{shown(asset)} is no model; models are {', '.join(models)}")
        return self.artifact(asset, cell) / MODEL.name.rstrip("/")

    def scores(self) -> pl.DataFrame:
        """Scores of the base model, the controls and the students that exist, one row a benchmark and metric.

        Columns: kind (base, control, student), train_size, replicate, arm, prompt_loss (its weight), then those of
        nomad_assets.steps.scores.Scores. Raises NomadError when there are none yet.
        """
        parts = []
        for asset, kind in SIDES.items():
            step = self._grid.graph[asset]
            for cell in self._grid.members(step.over):
                artifact = self._store.current(asset, cell)
                if artifact is None:
                    continue
                with self._store.reading([artifact]):
                    table = artifact.read(step.file_of(Scores))
                facts = self._grid.labels(cell)
                labels = [pl.lit(facts[key], dtype=dtype).alias(key) for key, dtype in LABEL_TYPES.items()]
                parts.append(table.select(pl.lit(kind).alias("kind"), *labels, pl.all()))
        if not parts:
            raise NomadError(f"no model has been scored in {self._store.name}; run the grid first")
        return pl.concat(parts)

    def report(self) -> Report:
        """The newest report. Raises NotMadeError when there is none."""
        artifact = self.artifact(REPORT)
        state = next(place for place in status(self._grid, self._store) if place.step.name == REPORT)
        markdown = (artifact / MARKDOWN.name).read_text(encoding="utf-8")
        return Report(markdown, artifact / HTML.name, state.reasons)

    def status(self) -> pl.DataFrame:
        """Every place with its state (current, out of date, missing, withdrawn, unreadable) and the reasons.

        Columns: asset, cell, state, reasons, notes, artifact_id.
        """
        rows = [list(place.record().values()) for place in status(self._grid, self._store)]
        return pl.DataFrame(rows, schema=STATUS, orient="row")

    def check(self, assets: Sequence[str] | str = (), cells: Sequence[str] | str = ()) -> pl.DataFrame:
        """Every check in every stored place, or of these assets and cells alone: one row a check.

        Columns: asset, cell, check, severity, passed, text. Raises NomadError on unknown assets or cells.
        """
        names = [assets] if isinstance(assets, str) else list(assets)
        places = [self._grid.place(text) for text in ([cells] if isinstance(cells, str) else cells)]
        steps = [self._step(name) for name in names] or list(self._grid.graph.values())
        results = [result.record() for result in check_places(self._grid, self._store, steps, places)]
        rows = [[row["partition" if key == "cell" else key] for key in CHECKED] for row in results]
        return pl.DataFrame(rows, schema=CHECKED, orient="row")

    def lineage(self, sql: str) -> pl.DataFrame:
        """The answer of the lineage database to an SQL question. Raises NomadError with DuckDB's words."""
        from nomad_assets.lineage.questions import ask

        return ask(self._store, sql)

    def _step(self, asset: str) -> Step:
        if asset not in self._grid.graph:
            raise NomadError(f"unknown asset {shown(asset)}; known: {', '.join(self._grid.graph)}")
        return self._grid.graph[asset]

    def _place(self, step: Step, cell: str | int | None) -> Cell:
        place, members = self._grid.place("-" if cell is None else str(cell)), self._grid.members(step.over)
        if place not in members:
            accepted = ", ".join(member.label for member in members)
            made = "is made once" if members == [Cell()] else f"is made for each of {accepted}"
            raise NomadError(f"{step.name} {made}, not for {place.label}" if cell else f"{step.name} {made}; name one")
        return place
