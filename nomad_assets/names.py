"""What may name an arm, a benchmark or a profile, and what may stand where a path or an address is asked for."""

import re
from collections import Counter
from typing import Annotated

from pydantic import AfterValidator

from nomad_assets.errors import shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = re.compile(r"v\d{6,}", re.ASCII)


def _location(text: str) -> str:
    """A path or address as meant: a `\\t` of "data\\train.jsonl" in double quotes is a tab to TOML."""
    if not text or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("give a path or address without control characters; a backslash is written twice")
    return text


def safe_names(names: list[str], what: str) -> None:
    """Raises ValueError unless every name can name a folder or file, also where upper and lower case are the same."""
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"{what} name {shown(name)}: use letters, digits, '.', '_' and '-', at most 64")
        if VERSION.fullmatch(name):
            raise ValueError(f"{what} name {name!r}: v and a number name versions of artifacts; use another name")
    counts = Counter(name.lower() for name in names)
    if repeated := [name for name in names if counts[name.lower()] > 1]:
        raise ValueError(f"{what} names {shown(repeated)} differ only in upper and lower case; use distinct ones")


Location = Annotated[str, AfterValidator(_location)]
