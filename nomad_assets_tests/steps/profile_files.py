"""A profile with its files in a folder of its own, to be changed."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import tomlkit

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.fingerprint import fingerprint
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import GRAPH

CELL = Cell(8, "unmasked")
CELLS = {over: CELL.at(over) for over in Over}
PROFILE = {
    "seeds": {"sources": [{"path": "seeds.jsonl"}]},
    "benchmarks": {"trivia": {"source": {"path": "questions.jsonl"}}},
    "base_model": {"source": "tiny-random"},
    "grid": {"train_sizes": [8, 16]},
    "synthesis": {"target": 30, "max_attempts": 48},
    "curation": {"keep": 8},
}
RULE = """
def odd(row):
    "Always."
    return None
"""
READER = """
def rows(**options):
    yield {"prompt": "Who?", "response": "Me"}
"""
FILES = {
    "seeds.jsonl": json.dumps({"prompt": "Who?", "response": "Me", "level": 1}),
    "other_seeds.jsonl": json.dumps({"prompt": "Who else?", "response": "You"}),
    "questions.jsonl": json.dumps({"question": "Capital of Peru?", "answers": ["Lima"], "level": 1}),
    "other_questions.jsonl": json.dumps({"question": "Capital of Chad?", "answers": ["N'Djamena"]}),
    "chat.jinja": "one",
    "rule.py": RULE,
    "reader.py": READER,
    "model/config.json": "{}",
}


class ProfileFiles:
    """What a user edits."""

    def __init__(self, folder: Path):
        self.folder, self.data = folder, copy.deepcopy(PROFILE)
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def put(self, key: str, value: object) -> None:
        """Set a key such as `seeds.sources.0.limit`; None removes it."""
        *sections, last = key.split(".")
        place = self.data
        for section in sections:
            place = place[int(section)] if isinstance(place, list) else place.setdefault(section, {})
        if value is None:
            del place[last]
        else:
            place[last] = value

    def grid(self) -> Grid:
        path = self.folder / "mine.toml"
        path.write_text(tomlkit.dumps(self.data), encoding="utf-8")
        return Grid(load_profile(str(path)))

    def fingerprints(self) -> dict[str, str]:
        """Of every step, apart from its parents, in the cell 8/unmasked."""
        grid = self.grid()
        return {
            name: fingerprint(step, GRAPH, step.config.of(grid, CELLS[step.over], {}), {}).digest
            for name, step in GRAPH.items()
        }

    def changed(self, change: Callable[[], object]) -> set[str]:
        """The steps that a change makes out of date by itself."""
        before = self.fingerprints()
        change()
        after = self.fingerprints()
        return {name for name in GRAPH if before[name] != after[name]}
