"""Rows from the user's files: reading, recognising their format, normalising.

Worked example, the GSM8K format: the row
    {"question": "Tom has 2 bags of 3.", "answer": "2*3 = <<2*3=6>>6\\n#### 6"}
becomes prompt "Tom has 2 bags of 3." and response "2*3 = 6\\n#### 6".
"""

import csv
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nomad_assets.errors import NomadError, printable, shown

CALCULATOR = re.compile(r"<<[^<>]*>>")
# A name starts with a letter or digit: `datasets` takes ".." for a folder of this machine.
HUB = re.compile(
    r"hf://(?P<name>[a-z\d][\w.-]*/[a-z\d][\w.-]*)(@(?P<revision>[\w./-]+?))?(#(?P<config>[\w.-]+)/(?P<split>[\w.-]+))?",
    re.ASCII | re.IGNORECASE,
)
ENDINGS = (".jsonl", ".json", ".parquet", ".csv")
MAX_ID = 200  # characters
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read. `answers` are the accepted short answers where the format has them."""

    source: str
    number: int
    """1-based place in its source."""
    given_id: str | None
    prompt: str
    response: str
    answers: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Content id: 16 hex digits of sha256 over prompt and response."""
        return hashlib.sha256(f"{self.prompt}\0{self.response}".encode()).hexdigest()[:16]


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
) -> Rows:
    """Read, filter, recognise and normalise one source.

    `where` keeps rows whose field has one of the listed values; `limit` keeps that many by content hash, in file order;
    a row in `withdrawn` (id -> `source`) that was deleted keeps its place in that number, so that no other takes it.
    Of a JSON key that is given twice the last counts, as in most readers.
    Raises NomadError naming the file and row: missing, empty, wrong ending, invalid UTF-8, no response, repeated id.
    """
    result, name = Rows(), source_name(source)
    seen: dict[str, str] = {}
    for number, place, record in _records(source):
        if not isinstance(record, dict):
            raise NomadError(f"{place}: expected an object with named fields, found {type(record).__name__}")
        for key in where or {}:
            if key not in record:
                raise NomadError(f"{place}: `where` asks for field {key!r}, which this row lacks")
        if any(record[key] not in allowed for key, allowed in (where or {}).items()):
            continue
        kind = _format(place, record)
        result.formats[kind] += 1
        row = _normalise(kind, name, number, place, record)
        if row is None:
            result.left_out.append({"source": name, "row": number, "reason": "not_single_turn", "evidence": "messages"})
            continue
        if row.given_id is not None and seen.setdefault(row.given_id, place) != place:
            raise NomadError(
                f"{place}: id {row.given_id!r} is already used in {seen[row.given_id]}; ids must be unique"
            )
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


def source_name(source: str) -> str:
    """A short name: the last parts of a path (it says seed or benchmark), or the hub name."""
    return source if source.startswith("hf://") else printable("/".join(Path(source).parts[-2:]))


def _records(source: str) -> Iterator[tuple[int, str, object]]:
    """(number in the source, place for messages, record)."""
    if source.startswith("hf://"):
        for number, record in enumerate(_hub_records(source), start=1):
            yield number, f"{source} row {number}", record
        return
    try:
        for number, (place, record) in enumerate(_file_records(source), start=1):
            yield number, place, record
    except OSError as error:
        raise NomadError(f"{error.filename or source}: could not be read: {error.strerror or error}") from error


def _file_records(source: str) -> Iterator[tuple[str, object]]:
    """(place for messages, record) of a file, or of a folder's files in the order of their names."""
    path = Path(source)
    if not path.exists():
        raise NomadError(f"{source}: no such file or folder")
    files = [path]
    if path.is_dir():
        own = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
        files = sorted(p for p in own if p.suffix in ENDINGS and not p.is_dir())
    if not files:
        raise NomadError(f"{source}: the folder holds no file ending in {', '.join(ENDINGS)}")
    for file in files:
        reader = _READERS.get(file.suffix)
        if reader is None:
            raise NomadError(f"{file}: unknown ending {file.suffix!r}; accepted: {', '.join(ENDINGS)}")
        if file.stat().st_size == 0:
            raise NomadError(f"{file}: the file is empty")
        if not file.is_file():
            raise NomadError(f"{file}: not a file that can be read from start to end")
        for row, record in enumerate(reader(file), start=1):
            yield f"{file} row {row}", record


def _lines(path: Path) -> Iterator[str]:
    """Lines, each decoded by itself, so that a large file is never held as a whole; without a byte order mark."""
    offset = 0
    with open(path, "rb") as file:
        for number, data in enumerate(file, start=1):
            try:
                line = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise NomadError(
                    f"{path} line {number}: not valid UTF-8 ({error.reason} at byte {offset + error.start}); save it as UTF-8"
                ) from None
            yield line if offset else line.removeprefix("\ufeff")
            offset += len(data)


def _read_jsonl(path: Path) -> Iterator[object]:
    for _ in _lines(path):  # a file in another encoding is told so, and not that its first line is no JSON
        pass
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise NomadError(
                f"{path} line {number}: not JSON ({error}); .jsonl holds one JSON object per line"
            ) from None


def _read_json(path: Path) -> Iterator[object]:
    try:
        records = json.loads("".join(_lines(path)))
    except (ValueError, RecursionError) as error:
        raise NomadError(f"{path}: not JSON ({error})") from None
    if not isinstance(records, list):
        raise NomadError(f"{path}: expected a JSON list of objects; for one object per line use the ending .jsonl")
    yield from records


def _read_parquet(path: Path) -> Iterator[object]:
    import polars as pl

    try:
        # An odd date or a damaged page shows only when its row is made.
        yield from pl.read_parquet(path, glob=False).iter_rows(named=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError) as error:
        raise NomadError(
            f"{path}: not a Parquet file ({(str(error).splitlines() or [type(error).__name__])[0]})"
        ) from None


def _read_csv(path: Path) -> Iterator[object]:
    csv.field_size_limit(sys.maxsize)  # the module's own limit of 128 KiB is for all readers of the process
    reader = csv.DictReader(io.StringIO("".join(_lines(path)), newline=""), strict=True)
    try:
        names = [name for name in reader.fieldnames or () if name]
        if len(set(names)) < len(names):
            raise NomadError(f"{path}: the header names a column twice: {shown(names)}")
        for record in reader:
            if None in record or None in record.values():
                raise NomadError(
                    f"{path}: a line has another number of fields than the header: {shown(record)}, line {reader.line_num}"
                )
            yield record
    except csv.Error as error:
        raise NomadError(f"{path}: not CSV ({error}), after line {reader.line_num}") from None


_READERS: dict[str, Callable[[Path], Iterator[object]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}


def _hub_records(source: str) -> Iterator[object]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    hub = parse_hub(source)
    try:
        yield from load_dataset(hub["name"], hub["config"], split=hub["split"] or "train", revision=hub["revision"])
    except (OSError, ValueError, DatasetsError) as error:
        raise NomadError(f"{source}: could not be loaded through `datasets`: {error}") from error


FORMATS = {
    "messages": ("messages",),
    "prompt + response": ("prompt", "response"),
    "instruction + output": ("instruction", "output"),
    "question + answers": ("question", "answers"),
    "question + answer": ("question", "answer"),
}
"""The fields that a record of each format has; the first that fits is taken."""


def _format(place: str, record: dict) -> str:
    for kind, fields in FORMATS.items():
        if all(name in record for name in fields):
            return kind
    raise NomadError(
        f"{place}: no recognised format in fields {sorted(record)}; accepted: prompt + response, "
        "instruction [+ input] + output, question + answer, question + answers, messages"
    )


def _normalise(kind: str, name: str, number: int, place: str, record: dict) -> Row | None:
    """A record of a recognised format as a Row of source `name`, or None for a chat with several turns."""
    answers: tuple[str, ...] = ()
    if kind == "messages":
        turns = _single_turn(record["messages"])
        if turns is None:
            return None
        prompt, response = turns
    elif kind == "prompt + response":
        prompt, response = record["prompt"], record["response"]
    elif kind == "instruction + output":
        extra = record.get("input")
        prompt, response = record["instruction"], record["output"]
        if extra is not None and _text(place, "input", extra):
            prompt = f"{_text(place, 'instruction', prompt)}\n\n{extra}"
    elif kind == "question + answers":
        prompt, answers = record["question"], _answers(place, record["answers"])
        response = answers[0] if answers else None
    else:
        prompt, response = record["question"], record["answer"]
        # TriviaQA's own rows keep the accepted answers inside `answer`.
        if isinstance(response, dict):
            response = response.get("value")
            answers = _answers(place, [response, *_answers(place, record["answer"].get("aliases"))])
        elif isinstance(response, str):
            response = CALCULATOR.sub("", response)
    prompt, response = _content(place, "prompt", prompt), _content(place, "response", response)
    return Row(name, number, _given_id(place, record.get("id")), prompt, response, answers)


def _given_id(place: str, value: object) -> str | None:
    """The id a row brings: text or a whole number. None where it has none; CSV can only say so by leaving it empty."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NomadError(f"{place}: the id is {type(value).__name__}, expected text or a whole number")
    if len(str(value)) > MAX_ID:
        raise NomadError(f"{place}: the id has {len(str(value))} characters; use at most {MAX_ID}")
    return _text(place, "id", str(value))


def _answers(place: str, value: object) -> tuple[str, ...]:
    """Accepted answers, each once; empty ones and nulls go."""
    values = [value] if isinstance(value, str) or value is None else value
    if not isinstance(values, list):
        raise NomadError(f"{place}: the answers are {type(value).__name__}, expected a list of texts")
    return tuple(dict.fromkeys(filter(None, (_text(place, "answer", v) for v in values if v is not None))))


def _single_turn(messages: object) -> tuple[object, object] | None:
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        return None
    # A system message is scaffolding that the profile's chat template sets, so a chat that brings its own is left out.
    if [m.get("role") for m in messages] != ["user", "assistant"]:
        return None
    return messages[0].get("content"), messages[1].get("content")


def _text(place: str, what: str, value: object) -> str:
    """The value with plain line ends and without white space around it. Raises NomadError when it is not text."""
    if not isinstance(value, str):
        raise NomadError(f"{place}: the {what} is {type(value).__name__}, expected text")
    if _SURROGATE.search(value):
        raise NomadError(f"{place}: the {what} holds half of a surrogate pair, which is no character; write it whole")
    if "\0" in value:
        raise NomadError(
            f"{place}: the {what} holds a NUL character; was the file saved in another encoding than UTF-8?"
        )
    return value.replace("\r\n", "\n").strip()


def _content(place: str, what: str, value: object) -> str:
    text = _text(place, what, value)
    if not text:
        raise NomadError(f"{place}: the {what} is empty; every row needs a prompt and a response")
    return text
