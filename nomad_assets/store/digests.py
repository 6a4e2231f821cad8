"""sha256 of JSON values, files and folders."""

import hashlib
import json
from pathlib import Path

from nomad_assets.errors import NomadError


def digest(value: object) -> str:
    """sha256 (hex) of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(path: Path) -> str:
    """sha256 (hex) of a file, or of the names and contents of a folder's files."""
    try:
        if path.is_file():
            return file_digest(path)
        return digest({p.relative_to(path).as_posix(): file_digest(p) for p in sorted(path.rglob("*")) if p.is_file()})
    except OSError as error:
        raise NomadError(f"{error.filename or path}: could not be read: {error.strerror}") from error
