"""Rows from a user's sources: files, data sets of the hub, and plug-ins that yield records."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nomad_assets import plugins
from nomad_assets.errors import NomadError, printable, shown
from nomad_assets.recipe.data.record_formats import Row, format_of, normalise
from nomad_assets.recipe.data.source_files import file_records

# A name starts with a letter or digit: `datasets` takes ".." for a folder of this machine.
HUB = re.compile(
    r"hf://(?P<name>[a-z\d][\w.-]*/[a-z\d][\w.-]*)(@(?P<revision>[\w./-]+?))?(#(?P<config>[\w.-]+)/(?P<split>[\w.-]+))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass
class Rows:
    """What a source gave: its rows, and those left out with the reason (`source`, `row`, `reason`, `evidence`)."""

    rows: list[Row] = field(default_factory=list)
    left_out: list[dict] = field(default_factory=list)
    formats: Counter = field(default_factory=Counter)
    """Records by the format that was recognised."""


def parse_hub(source: str) -> dict[str, str | None]:
    """name, revision, config and split of an `hf://` address.

    Raises NomadError on any other shape, and where a folder of that name lies in the current one: the hub's libraries
    would read it instead.
    """
    match = HUB.fullmatch(source)
    if match is None:
        raise NomadError(f"{source}: not of the form hf://owner/name[@revision][#config/split]")
    if Path(match["name"]).exists():
        raise NomadError(f"{source}: the folder {match['name']} would be read instead; start from another folder")
    return match.groupdict()


def read_source(
    source: str,
    where: dict[str, list] | None = None,
    limit: int | None = None,
    withdrawn: Mapping[str, Mapping] | None = None,
    options: Mapping[str, object] | None = None,
    cluster: str | None = None,
) -> Rows:
    """Read, filter, recognise and normalise one source.

    A plug-in (`python:FILE.py:NAME`, `plugin:NAME`) is called with `options` and yields records as a file holds them.
    `where` keeps rows whose field has one of the listed values; `limit` keeps that many by content hash, in file order;
    a row in `withdrawn` (id -> `source`) that was deleted keeps its place in that number, so that no other takes it.
    `cluster` names the field that a row's `cluster` is taken from. Of a JSON key that is given twice the last counts, as in most readers.
    Raises NomadError naming the file and row: missing, empty, wrong ending, invalid UTF-8, no response, repeated id;
    or the plug-in that failed.
    """
    result, name = Rows(), source_name(source)
    seen: dict[str, str] = {}
    for number, place, record in _records(source, options or {}):
        if not isinstance(record, dict):
            raise NomadError(f"{place}: expected an object with named fields, found {type(record).__name__}")
        for key in where or {}:
            if key not in record:
                raise NomadError(f"{place}: `where` asks for field {key!r}, which this row lacks")
        if any(record[key] not in allowed for key, allowed in (where or {}).items()):
            continue
        format_name = format_of(place, record)
        result.formats[format_name] += 1
        row = normalise(format_name, name, number, place, record)
        if row is None:
            result.left_out.append({"source": name, "row": number, "reason": "not_single_turn", "evidence": "messages"})
            continue
        if row.given_id is not None and seen.setdefault(row.given_id, place) != place:
            raise NomadError(
                f"{place}: id {row.given_id!r} is already used in {seen[row.given_id]}; ids must be unique"
            )
        if cluster is not None:
            row = replace(row, cluster=_cluster(place, cluster, record))
        result.rows.append(row)
    if not result.rows:
        rule = f" (with where = {shown(where)})" if where else ""
        chats = len(result.left_out)
        why = f": of {chats:,} chats none is one user turn and one assistant turn; put a system message into the chat template"
        raise NomadError(
            f"{source}: no usable rows{rule}"
            + (why if chats else "; give at least one row with a prompt and a response")
        )
    if limit is not None and limit < len(result.rows):
        read = {row.id for row in result.rows}
        gone = [i for i, facts in (withdrawn or {}).items() if facts["source"] == name and i not in read]
        places = sorted(
            [*((row.id, row.number, row) for row in result.rows), *((i, 0, None) for i in gone)], key=lambda p: p[:2]
        )
        result.rows = sorted((row for _, _, row in places[:limit] if row is not None), key=lambda row: row.number)
    return result


def _cluster(place: str, field_name: str, record: dict) -> str:
    value = record.get(field_name)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise NomadError(
            f"{place}: `cluster` asks for field {field_name!r} with a text or a whole number, which this row lacks"
        )
    return str(value)


def source_name(source: str) -> str:
    """A short name: the last parts of a path (it says seed or benchmark), or the name of a hub data set or a plug-in."""
    return source if source.startswith(("hf://", plugins.INSTALLED)) else printable("/".join(Path(source).parts[-2:]))


def _records(source: str, options: Mapping[str, object]) -> Iterator[tuple[int, str, object]]:
    """(number in the source, place for messages, record)."""
    if plugins.is_plugin(source):
        for number, record in enumerate(_plugin_records(source, options), start=1):
            yield number, f"{source} row {number}", record
        return
    if source.startswith("hf://"):
        for number, record in enumerate(_hub_records(source), start=1):
            yield number, f"{source} row {number}", record
        return
    try:
        for number, (place, record) in enumerate(file_records(source), start=1):
            yield number, place, record
    except OSError as error:
        raise NomadError(f"{error.filename or source}: could not be read: {error.strerror or error}") from error


def _hub_records(source: str) -> Iterator[object]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    hub = parse_hub(source)
    try:
        yield from load_dataset(hub["name"], hub["config"], split=hub["split"] or "train", revision=hub["revision"])
    except (OSError, ValueError, DatasetsError) as error:
        raise NomadError(f"{source}: could not be loaded through `datasets`: {error}") from error


def _plugin_records(source: str, options: Mapping[str, object]) -> Iterator[object]:
    plugin = plugins.locate_source(source, Path.cwd(), "path")
    code = plugin.load()
    if not callable(code):
        raise plugin.fault(f"it is {type(code).__name__}, not a function `(**options)` that yields records")
    number = 0
    try:
        records = iter(code(**options))
    except Exception as error:
        raise plugin.raised(error, f"with the options {shown(dict(options))}") from error
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except Exception as error:
            raise plugin.raised(error, f"after row {number}") from error
        number += 1
        yield record
