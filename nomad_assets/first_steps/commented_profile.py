"""A profile as a file to edit: every key there is, under what it means."""

from collections.abc import Set
from typing import get_args, get_origin

import tomlkit
from pydantic_core import PydanticUndefined
from tomlkit.items import Item, Table
from tomlkit.toml_document import TOMLDocument

from nomad_assets.profile.fields import Section
from nomad_assets.profile.profile import Profile

HEAD = """A profile: one file that drives everything. `nomad-assets run` reads it in this folder.
Every key there is stands below; commented ones show their default. Paths are relative to this file."""
EXPLAINED = {
    "seeds": "Your good examples: what the teacher learns to write.",
    "benchmarks": "Questions that students are scored on; never trained on. A table for each.",
    "base_model": "The model that teachers and students are trained from.",
    "grid": "Which teachers are trained: every train size with every arm. Start small; a size that is added later\n"
    "costs its own cells alone.",
    "teacher": "How teachers are trained.",
    "synthesis": "How a teacher writes its corpus.",
    "curation": "What is kept of it.",
    "student": "How students are trained, on what was kept.",
    "controls": "Further students without a teacher's rows, which tell what those rows are worth.",
    "evaluation": "How students answer the benchmarks.",
    "report": "What the report makes of a difference.",
    "headroom": "What `nomad-assets headroom` measures, before any teacher is trained, to tell whether synthetic data can help.",
    "checks": "When a check warns.",
    "automation": "What Dagster does by itself, once it is switched on in the UI.",
}


def commented_profile(chosen: dict) -> str:
    """A profile as TOML in which every key stands: those in `chosen` with their value, the others commented out with
    their default, each under what it means."""
    document = tomlkit.document()
    _comment(document, HEAD)
    document.add(tomlkit.nl())
    tables = {name: inner for name, field in Profile.model_fields.items() if (inner := _inner(field.annotation))}
    _add_keys(document, Profile, chosen, leave_out={"folder", *tables})  # plain keys first, as TOML wants them
    for name, section in tables.items():
        document.add(tomlkit.nl())
        _comment(document, EXPLAINED[name])
        if name == "benchmarks":
            table = tomlkit.table(is_super_table=True)
            for key, entry in chosen[name].items():
                table.add(key, _table(section, entry))
        else:
            table = _table(section, chosen.get(name, {}))
        document.add(name, table)
        table.trivia.indent = ""  # where tomlkit puts a line between a table and the comment above it
    return tomlkit.dumps(document)


def _table(section: type[Section], chosen: dict) -> Table:
    table = tomlkit.table()
    _add_keys(table, section, chosen)
    return table


def _add_keys(
    table: TOMLDocument | Table, section: type[Section], chosen: dict, leave_out: Set[str] = frozenset()
) -> None:
    """Add the keys of a section, each under what it means."""
    for name, field in section.model_fields.items():
        if name in leave_out:
            continue
        _comment(table, field.description or "")
        if name in chosen:
            table.add(name, _toml(chosen[name]))
            continue
        default = field.get_default(call_default_factory=True)
        default = default.model_dump(mode="json") if isinstance(default, Section) else default
        known = default is not None and default is not PydanticUndefined
        table.add(tomlkit.comment(f"{name} = {_toml(default).as_string()}" if known else f"{name} ="))


def _inner(annotation) -> type[Section] | None:
    """The Section that a field holds, itself or as the values of a table."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) is dict:
        return _inner(get_args(annotation)[1])
    return None


def _comment(table: TOMLDocument | Table, text: str) -> None:
    for line in text.splitlines():
        table.add(tomlkit.comment(line.strip()))


def _toml(value: object) -> Item:
    """The value on one line: tables inside it are inline ones."""
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, entry in value.items():
            table.add(key, _toml(entry))
        return table
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        array.extend(map(_toml, value))
        return array
    return tomlkit.item(value)
