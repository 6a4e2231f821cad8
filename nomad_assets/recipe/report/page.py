"""The report's blocks and their two renderings: Markdown for terminals and the Dagster UI, one HTML file for reading.

Everything that reaches a page passes through `_html` or `_cell`: names, settings, and above all rows that a model
wrote, which can hold markup, pipes, fences or terminal escape codes.
"""

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.plots import INK

SCRIPT, STYLE = Path(__file__).with_name("page.js"), Path(__file__).with_name("page.css")


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


def markdown_page(title: str, subtitle: str, sections: list[Section]) -> str:
    """The sections as GitHub-flavoured Markdown. Pictures are named, not embedded: they are in the HTML."""
    parts = [f"# {_cell(title)}", _cell(subtitle)]
    for section in sections:
        parts.append(f"## {_cell(section.title)}")
        parts.extend(_markdown_block(block) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def html_page(title: str, subtitle: str, sections: list[Section]) -> str:
    """The sections as one HTML file that loads nothing: styles, figures and scripts are inside it."""
    pictures = 0
    scripts = _scripts() if any(isinstance(b, Picture | Reader) for s in sections for b in s.blocks) else []
    hashes = " ".join(map(_fingerprint, scripts)) or "'none'"
    body, links = [], []
    for number, section in enumerate(sections):
        links.append(f'<a href="#part-{number}">{_html(section.title)}</a>')
        body.append(f'<section id="part-{number}"><h2>{_html(section.title)}</h2>')
        for block in section.blocks:
            if isinstance(block, Picture):
                pictures += 1
                body.append(_inline_svg(block, f"f{pictures}-"))
            else:
                body.append(_html_block(block))
        body.append("</section>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Nothing is loaded and only these scripts run; this holds even if an escape were ever missed.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; "
        f"style-src 'unsafe-inline'; script-src {hashes}\">\n"
        f"<title>{_html(title)} {_html(subtitle)}</title>\n<style>{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_html(title)}</h1>\n<p class="facts">{_html(subtitle)}</p>\n'
        + "\n".join(body[: _first_end(body)])
        + f'\n<nav aria-label="Sections">{" ".join(links[1:])}</nav>\n'
        + "\n".join(body[_first_end(body) :])
        + "\n</main>\n"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _scripts() -> list[str]:
    """Vega with its parts, and our own script. Its expressions are interpreted, so that no text becomes code."""
    import vl_convert

    return [vl_convert.javascript_bundle(), SCRIPT.read_text(encoding="utf-8")]


def _fingerprint(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _data(text: str) -> str:
    """JSON inside a page: no `<` that could end its element, and no character that reorders it."""
    return printable(text).replace("<", "\\u003c")


def _first_end(body: list[str]) -> int:
    """Where the first section ends: the answer comes before the list of sections."""
    return body.index("</section>") + 1 if body else 0


def printable(text: str) -> str:
    """The text without characters that act on a terminal or reorder a page: controls and bidirectional overrides."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def _html(text: str) -> str:
    return html.escape(printable(text), quote=True)


def _cell(text: str) -> str:
    """One line of Markdown that shows the text as it is, in a table or out of it."""
    line = " ".join(printable(text).split())
    # `_` within a word (exact_match) is no markup; addresses become links by themselves.
    line = re.sub(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|(?<=\w)@)", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    text = printable(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _markdown_block(block: Block) -> str:
    match block:
        case Paragraph(text, strong):
            return " ".join(part for part in (f"**{_cell(strong)}**" if strong else "", _cell(text)) if part)
        case Bullets(items):
            return "\n".join(f"- {_cell(item)}" for item in items)
        case Table(caption, header, rows, words):
            rule = [":--" if place < words else "--:" for place in range(len(header))]
            lines = [[_cell(cell) for cell in row] for row in (header, *rows)]
            lines.insert(1, rule)
            return f"{_cell(caption)}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)
        case Picture(alt=alt):
            return f"(Figure in the HTML report: {_cell(alt)})"
        case Reader():
            return "(More rows can be read side by side in the HTML report.)"
        case Columns(columns):
            return "\n\n".join(_markdown_column(heading, examples) for heading, examples in columns.items())


def _markdown_column(heading: str, examples: list[Example]) -> str:
    parts = [f"### {_cell(heading)}"]
    for example in examples:
        parts.append(f"**{_cell(example.title)}** {_cell(example.facts)}")
        for name, text in example.parts.items():
            parts.append(f"{_cell(name)}:\n\n{_fenced(text)}")
    return "\n\n".join(parts) if examples else f"{parts[0]}\n\nNo row to show."


def _html_block(block: Block) -> str:
    match block:
        case Paragraph(text, strong):
            opening = f"<strong>{_html(strong)}</strong> " if strong else ""
            return f"<p>{opening}{_html(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_html(item)}</li>" for item in items) + "</ul>"
        case Table():
            return _html_table(block)
        case Columns(columns):
            inner = "".join(_html_column(heading, examples) for heading, examples in columns.items())
            return f'<div class="columns">{inner}</div>'
        case Reader(rows, sides):
            data = json.dumps({"rows": rows, "sides": sides}, ensure_ascii=False, separators=(",", ":"))
            return f'<div class="reader" hidden><script type="application/json">{_data(data)}</script></div>'
    raise TypeError(f"no rendering for {type(block).__name__}")


def _html_table(table: Table) -> str:
    def kind(place: int) -> str:
        return ' class="word"' if place < table.words else ""

    head = "".join(f'<th scope="col"{kind(i)}>{_html(name)}</th>' for i, name in enumerate(table.header))
    rows = []
    for first, *others in table.rows:
        cells = "".join(f"<td{kind(i)}>{_html(cell)}</td>" for i, cell in enumerate(others, start=1))
        rows.append(f'<tr><th scope="row" class="word">{_html(first)}</th>{cells}</tr>')
    caption = _html(table.caption)
    # tabindex: a container that scrolls must be reachable with the keyboard.
    return (
        f'<div class="table" role="region" aria-label="{caption}" tabindex="0"><table>'
        f"<caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _html_column(heading: str, examples: list[Example]) -> str:
    cards = []
    for example in examples:
        parts = "".join(
            f'<h5>{_html(name)}</h5><pre dir="auto">{_html(text)}</pre>' for name, text in example.parts.items()
        )
        cards.append(
            f'<article><h4>{_html(example.title)}</h4><p class="facts">{_html(example.facts)}</p>{parts}</article>'
        )
    return f"<div><h3>{_html(heading)}</h3>{''.join(cards) or '<p>No row to show.</p>'}</div>"


def _inline_svg(picture: Picture, prefix: str) -> str:
    """The figure as an element of the page: scales with it, takes its text colour, is read out as one image."""
    drawing = picture.svg[picture.svg.index("<svg") :]
    tag, rest = drawing.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', tag)
    # Ids are unique within a figure only, and several figures share this page.
    rest = re.sub(r'\bid="', f'id="{prefix}', rest)
    rest = rest.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')
    # One image with one text, not a hundred marks to read out.
    rest = re.sub(r' (role|aria-roledescription)="graphics-[^"]*"', "", rest).replace(INK, "currentColor")
    alt = _html(picture.alt)
    frame = box.group(1) if box else "0 0 331 238"
    data = _data(picture.specification.replace(INK, "currentColor"))
    return (
        f'<figure><div class="plot"><svg viewBox="{frame}" role="img" aria-label="{alt}">{rest.strip()}</div>'
        f'<script type="application/json">{data}</script><figcaption>{alt}</figcaption></figure>'
    )
