"""What the sections of a report are made of, whatever they are rendered as."""

import re
from dataclasses import dataclass, field

from nomad_assets.recipe.report import plots


@dataclass(frozen=True)
class Paragraph:
    text: str
    strong: str = ""
    """Opening words, set in bold."""


@dataclass(frozen=True)
class Bullets:
    items: list[str]


@dataclass(frozen=True)
class Table:
    caption: str
    header: list[str]
    rows: list[list[str]]
    """Cells as text; the first of a row is its header."""
    words: int = 1
    """Number of leading columns that are words and align left; the others align right."""


@dataclass(frozen=True)
class Picture:
    svg: str
    """Shown on paper, and where scripts do not run."""
    specification: str
    """The same as Vega-Lite JSON, which the page's script draws in its place: with values under the pointer."""
    alt: str
    """What the figure shows, for those who do not see it."""

    @classmethod
    def of(cls, chart, alt: str) -> "Picture":
        return cls(plots.svg(chart), plots.specification(chart), alt)


@dataclass(frozen=True)
class Example:
    """A synthetic row to read. `facts` are short: verdict, scores."""

    title: str
    facts: str
    parts: dict[str, str]
    """Text by its name: prompt, response, nearest seed prompt."""


@dataclass(frozen=True)
class Columns:
    """Examples side by side, one column a heading."""

    columns: dict[str, list[Example]]


@dataclass(frozen=True)
class Reader:
    """Rows to read two at a time, each side from a cell and a verdict of the reader's choice. Needs scripts."""

    rows: list[dict]
    """cell, reason (`kept` among them), and title, facts and parts as an Example has them."""
    sides: tuple[str, str]
    """Cells to begin with."""


Block = Paragraph | Bullets | Table | Picture | Columns | Reader


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Block] = field(default_factory=list)


def printable(text: str) -> str:
    """The text without characters that act on a terminal or reorder a page: controls and bidirectional overrides."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
