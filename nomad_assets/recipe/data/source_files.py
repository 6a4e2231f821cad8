"""Records of local files: JSON lines, JSON, Parquet and CSV."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nomad_assets.errors import NomadError, shown

ENDINGS = (".jsonl", ".json", ".parquet", ".csv")


def file_records(source: str) -> Iterator[tuple[str, object]]:
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
