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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nomad_assets.errors import NomadError

CALCULATOR = re.compile(r"<<[^<>]*>>")
HUB = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+?))?(#(?P<config>[\w.-]+)/(?P<split>[\w.-]+))?")
ENDINGS = (".jsonl", ".json", ".parquet", ".csv")


@dataclass(frozen=True)
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


def parse_hub(source: str) -> dict[str, str | None]:
    """name, revision, config and split of an `hf://` address. Raises NomadError on any other shape."""
    match = HUB.fullmatch(source)
    if match is None:
        raise NomadError(f"{source}: not of the form hf://owner/name[@revision][#config/split]")
    return match.groupdict()


def read_source(source: str, where: dict[str, list] | None = None, limit: int | None = None) -> Rows:
    """Read, filter, recognise and normalise one source.

    `where` keeps rows whose field has one of the listed values; `limit` keeps that many by content hash, in file order.
    Raises NomadError naming the file and row: missing, empty, wrong ending, invalid UTF-8, no response, repeated id.
    """
    result = Rows()
    seen: dict[str, str] = {}
    for number, place, record in _records(source):
        if not isinstance(record, dict):
            raise NomadError(f"{place}: expected an object with named fields, found {type(record).__name__}")
        for key in where or {}:
            if key not in record:
                raise NomadError(f"{place}: `where` asks for field {key!r}, which this row lacks")
        if any(record[key] not in allowed for key, allowed in (where or {}).items()):
            continue
        row = _normalise(source, number, place, record, result)
        if row is None:
            continue
        if row.given_id is not None and seen.setdefault(row.given_id, place) != place:
            raise NomadError(
                f"{place}: id {row.given_id!r} is already used in {seen[row.given_id]}; ids must be unique"
            )
        result.rows.append(row)
    if not result.rows:
        rule = f" (with where = {where})" if where else ""
        raise NomadError(f"{source}: no usable rows{rule}; give at least one row with a prompt and a response")
    if limit is not None and limit < len(result.rows):
        chosen = sorted(result.rows, key=lambda row: row.id)[:limit]
        result.rows = sorted(chosen, key=lambda row: row.number)
    return result


def source_name(source: str) -> str:
    """A short name: the last parts of a path (it says seed or benchmark), or the hub name."""
    return source if source.startswith("hf://") else "/".join(Path(source).parts[-2:])


def _records(source: str) -> Iterator[tuple[int, str, object]]:
    """(number in the source, place for messages, record)."""
    if source.startswith("hf://"):
        for number, record in enumerate(_hub_records(source), start=1):
            yield number, f"{source} row {number}", record
        return
    path = Path(source)
    if not path.exists():
        raise NomadError(f"{source}: no such file or folder")
    files = sorted(p for p in path.rglob("*") if p.suffix in ENDINGS) if path.is_dir() else [path]
    if not files:
        raise NomadError(f"{source}: the folder holds no file ending in {', '.join(ENDINGS)}")
    number = 0
    for file in files:
        reader = _READERS.get(file.suffix)
        if reader is None:
            raise NomadError(f"{file}: unknown ending {file.suffix!r}; accepted: {', '.join(ENDINGS)}")
        if file.stat().st_size == 0:
            raise NomadError(f"{file}: the file is empty")
        for row, record in enumerate(reader(file), start=1):
            number += 1
            yield number, f"{file} row {row}", record


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise NomadError(
            f"{path} line {line}: not valid UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None


def _read_jsonl(path: Path) -> Iterator[object]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
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
        records = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise NomadError(f"{path}: not JSON ({error})") from None
    if not isinstance(records, list):
        raise NomadError(f"{path}: expected a JSON list of objects; for one object per line use the ending .jsonl")
    yield from records


def _read_parquet(path: Path) -> Iterator[object]:
    import polars as pl

    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NomadError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    yield from frame.iter_rows(named=True)


def _read_csv(path: Path) -> Iterator[object]:
    try:
        for record in csv.DictReader(io.StringIO(_text(path), newline=""), strict=True):
            if None in record or None in record.values():
                raise NomadError(f"{path}: a line has another number of fields than the header: {str(record)[:120]}")
            yield record
    except csv.Error as error:
        raise NomadError(f"{path}: not CSV ({error})") from None


_READERS: dict[str, Callable[[Path], Iterator[object]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}


def _hub_records(source: str) -> Iterator[object]:
    from datasets import load_dataset

    hub = parse_hub(source)
    try:
        yield from load_dataset(hub["name"], hub["config"], split=hub["split"] or "train", revision=hub["revision"])
    except (OSError, ValueError) as error:
        raise NomadError(f"{source}: could not be loaded through `datasets`: {error}") from error


def _normalise(source: str, number: int, place: str, record: dict, result: Rows) -> Row | None:
    """A record of any recognised format as a Row, or None (noted in `left_out`) for a chat with several turns."""
    answers: tuple[str, ...] = ()
    if "messages" in record:
        turns = _single_turn(record["messages"])
        if turns is None:
            result.left_out.append(_left_out(source, number, "not_single_turn", "messages"))
            return None
        prompt, response = turns
    elif "prompt" in record and "response" in record:
        prompt, response = record["prompt"], record["response"]
    elif "instruction" in record and "output" in record:
        extra = record.get("input") or ""
        prompt, response = record["instruction"], record["output"]
        prompt = (
            f"{prompt}\n\n{extra}" if isinstance(prompt, str) and isinstance(extra, str) and extra.strip() else prompt
        )
    elif "question" in record and "answers" in record:
        prompt, answers = record["question"], _answers(record["answers"])
        response = answers[0] if answers else None
    elif "question" in record and "answer" in record:
        prompt, response = record["question"], record["answer"]
        # TriviaQA's own rows keep the accepted answers inside `answer`.
        if isinstance(response, dict):
            answers = tuple(dict.fromkeys([str(response.get("value") or ""), *_answers(response.get("aliases"))]))
            response = answers[0]
        elif isinstance(response, str):
            response = CALCULATOR.sub("", response)
    else:
        raise NomadError(
            f"{place}: no recognised format in fields {sorted(record)}; accepted: prompt + response, "
            "instruction [+ input] + output, question + answer, question + answers, messages"
        )
    prompt, response = (_clean(place, name, text) for name, text in (("prompt", prompt), ("response", response)))
    given = record.get("id")
    return Row(source_name(source), number, None if given is None else str(given), prompt, response, answers)


def _answers(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return ()
    return tuple(answer.strip() for answer in value if isinstance(answer, str) and answer.strip())


def _single_turn(messages: object) -> tuple[object, object] | None:
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        return None
    # A system message is scaffolding that the profile's chat template sets, so a chat that brings its own is left out.
    if [m.get("role") for m in messages] != ["user", "assistant"]:
        return None
    return messages[0].get("content"), messages[1].get("content")


def _clean(place: str, name: str, text: object) -> str:
    if not isinstance(text, str):
        raise NomadError(f"{place}: the {name} is {type(text).__name__}, expected text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NomadError(f"{place}: the {name} holds half of a surrogate pair, which is no character; write it whole")
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise NomadError(f"{place}: the {name} is empty; every row needs a prompt and a response")
    return text


def _left_out(source: str, number: int, reason: str, evidence: str) -> dict:
    return {"source": source_name(source), "row": number, "reason": reason, "evidence": evidence}
