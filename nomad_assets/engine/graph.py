"""All declared steps as a graph: order, ancestors, and where the columns of a table come from."""

import graphlib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.step import Read, Step
from nomad_assets.engine.tables import Table


class Graph(Mapping[str, Step]):
    """Steps by name, parents before children."""

    def __init__(self, steps: list[Step]):
        named = {step.name: step for step in steps}
        order = graphlib.TopologicalSorter({name: tuple(step.inputs) for name, step in named.items()})
        self._steps = {name: named[name] for name in order.static_order()}

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def ancestors(self, name: str) -> set[str]:
        """Every step that one is made from, directly or through others."""
        parents = set(self[name].inputs)
        return parents.union(*(self.ancestors(parent) for parent in parents))

    def indirect(self, name: str) -> set[str]:
        """Parents that another parent is made from: a change of theirs arrives through that one too."""
        return {p for p in self[name].inputs if any(p in self.ancestors(other) for other in self[name].inputs)}

    def stages(self) -> list[list[Step]]:
        """Steps that are made for the same places, in order: of the grid, of a size, of a control, of a cell, of a selection, of
        the grid again, and those that only run where they are asked for."""
        usual = [step for step in self.values() if not step.asked]
        found = [[step for step in usual if step.over is over and not self._gathers(step.name)] for over in Over]
        gathering = [step for step in usual if self._gathers(step.name)]
        return [*found, gathering, [step for step in self.values() if step.asked]]

    def _gathers(self, name: str) -> bool:
        """Whether a step of the whole grid is made from steps of its cells or sizes."""
        above = self.ancestors(name) | {name}
        return self[name].over is Over.GRID and any(self[other].over is not Over.GRID for other in above)

    def places(self, name: str, cell: Cell, members: Mapping[Over, list[Cell]]) -> list[tuple[str, Cell]]:
        """The (asset, cell) pairs that a step reads: its own coordinates of a coarser parent, all cells of a finer one."""
        found = []
        for parent, read in self[name].inputs.items():
            cells, own = members[self[parent].over], cell.at(self[parent].over)
            found += [(parent, place) for place in cells if read.every_cell or place == own]
        return found

    def column_sources(self, name: str) -> dict[str, tuple[list[tuple[str, str]], bool]]:
        """Column of the main table -> the (parent, column) pairs that it comes from, and whether it is a copy of one.

        Columns that are made in the step itself are left out.
        """
        step, found = self[name], {}
        if step.main is None:
            return {}
        for column, spec in step.main.to_schema().columns.items():
            inherited = self._inherited(step, column)
            facts = spec.metadata or {}
            copy = inherited or facts.get("copy_of")
            named = (copy,) if copy else facts.get("computed_from", ())
            pairs = [pair for source in named for pair in self._resolve(step, source)]
            if pairs:
                found[column] = pairs, copy is not None
        return found

    def _inherited(self, step: Step, column: str) -> str | None:
        """The parent's column that a table takes over with the contract that it extends."""
        for parent in step.inputs:
            above = self[parent].main
            if (
                above is not None
                and above is not step.main
                and issubclass(step.main, above)
                and column in above.to_schema().columns
            ):
                return f"{parent}.{column}"
        return None

    def _resolve(self, step: Step, source: str) -> list[tuple[str, str]]:
        parent, _, column = source.rpartition(".")
        if parent:
            return [(parent, column)] if parent in step.inputs else []
        # What only some cells read is no source of a column in all of them.
        always = {name: read for name, read in step.inputs.items() if read.when is None}
        return [(name, column) for name, read in always.items() if column in self._read_columns(name, read)]

    def _read_columns(self, name: str, read: Read) -> set[str]:
        main = self[name].main
        view = read.tables.get(main) if main is not None else None
        if view is None:
            return set()
        return set(view.columns if view.columns is not None else main.to_schema().columns)


def discover(package: ModuleType) -> Graph:
    """The graph of all steps that the modules of a package declare."""
    steps: dict[str, Step] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        loaded = importlib.import_module(f"{package.__name__}.{module}")
        steps |= {value.name: value for value in vars(loaded).values() if isinstance(value, Step)}
    return Graph(list(steps.values()))


def tables_of(graph: Graph) -> dict[type[Table], list[str]]:
    """Contract -> the steps that store such a table."""
    found: dict[type[Table], list[str]] = {}
    for step in graph.values():
        for table in step.tables.values():
            found.setdefault(table, []).append(step.name)
    return found
