"""The row of the trivia files, and the text forms that answers are given in."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

NO_DECOMPOSITION = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ß": "ss", "ı": "i", "æ": "ae", "Æ": "Ae", "ð": "d"}
    | {"þ": "th", "Þ": "Th", "ə": "e", "’": "'", "‘": "'", "ʻ": "'", "ʼ": "'"}
)


@dataclass(frozen=True)
class Trivia:
    """One question with every accepted answer, the canonical one first."""

    form: str
    question: str
    answers: tuple[str, ...]
    difficulty: int


def ascii_fold(text: str) -> str:
    """The text without accents: "São Paulo" becomes "Sao Paulo"."""
    decomposed = unicodedata.normalize("NFKD", text.translate(NO_DECOMPOSITION))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def with_variants(names: Iterable[str]) -> tuple[str, ...]:
    """The names in order, each followed by its spelling without accents; later repeats are dropped."""
    variants = [variant for name in names for variant in (name, ascii_fold(name))]
    seen: dict[str, str] = {}
    for variant in variants:
        seen.setdefault(variant.casefold(), variant)
    return tuple(seen.values())
