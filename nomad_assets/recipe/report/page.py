"""The report's blocks and their two renderings: Markdown for terminals and the Dagster UI, one HTML file for reading.

Everything that reaches a page passes through `_html` or `_cell`: names, settings, and above all rows that a model
wrote, which can hold markup, pipes, fences or terminal escape codes.
"""

import html
import re
from dataclasses import dataclass, field

from nomad_assets.recipe.plots import INK


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
    alt: str
    """What the figure shows, for those who do not see it."""


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


Block = Paragraph | Bullets | Table | Picture | Columns


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
    """The sections as one HTML file that loads nothing: styles and figures are inside it."""
    pictures = 0
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
        # Nothing in the file runs or loads; this holds even if an escape were ever missed.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{_html(title)} {_html(subtitle)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_html(title)}</h1>\n<p class="facts">{_html(subtitle)}</p>\n'
        + "\n".join(body[: _first_end(body)])
        + f'\n<nav aria-label="Sections">{" ".join(links[1:])}</nav>\n'
        + "\n".join(body[_first_end(body) :])
        + "\n</main>\n</body>\n</html>\n"
    )


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
    line = re.sub(r"([\\`*\[\]|])", r"\\\1", line)
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
        case Picture(_, alt):
            return f"(Figure in the HTML report: {_cell(alt)})"
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
    rest = rest.replace(INK, "currentColor")
    alt = _html(picture.alt)
    frame = box.group(1) if box else "0 0 331 238"
    return (
        f'<figure><svg viewBox="{frame}" role="img" aria-label="{alt}">{rest.strip()}'
        f"<figcaption>{alt}</figcaption></figure>"
    )


STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #ffffff; --ink: #1d2126; --soft: #5b626b;
  --line: #d9dce0; --accent: #0a6aa6; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1c2024; --ink: #e4e6e9; --soft: #a3abb5;
  --line: #363c43; --accent: #6cb8ea; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .3rem; }
h1 + p.facts { margin-bottom: 1rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1rem 0 .5rem; }
h4, h5 { margin: 0; font-size: .95rem; }
h5 { font-weight: 600; color: var(--soft); font-size: .85rem; margin-top: .6rem; }
p, ul { margin: .6rem 0; max-width: 50rem; }
ul { padding-left: 1.2rem; }
li { margin: .2rem 0; }
section:first-of-type { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--accent);
  border-radius: 6px; padding: .4rem 1.1rem .8rem; }
section:first-of-type h2 { margin-top: .6rem; }
section:first-of-type p:first-of-type strong { display: block; font-size: 1.1rem; line-height: 1.4;
  margin-bottom: .4rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1.2rem 0 0; font-size: .9rem; }
a { color: var(--accent); padding: .2rem 0; }
.table { overflow-x: auto; margin: 1rem 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
.table:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; min-width: 100%; font-size: .875rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .6rem .7rem; color: var(--soft); }
caption span { position: sticky; left: .7rem; display: inline-block; max-width: min(56rem, 100vw - 4rem); }
th, td { padding: .4rem .7rem; text-align: right; vertical-align: top; border-top: 1px solid var(--line);
  white-space: nowrap; overflow-wrap: normal; }
thead th { vertical-align: bottom; font-weight: 600; color: var(--soft); white-space: normal; min-width: 5rem; }
th.word, td.word { text-align: left; }
tbody th { font-weight: 600; position: sticky; left: 0; background: var(--card); }
figure { display: inline-block; vertical-align: top; width: min(100%, 29rem); margin: 1rem .8rem 1rem 0; }
figure svg { width: 100%; height: auto; color: var(--soft); overflow: visible; }
figcaption { font-size: .85rem; color: var(--soft); line-height: 1.4; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 1.2rem; }
.columns > div { min-width: 0; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
  margin: 0 0 .8rem; }
.facts { margin-top: 0; margin-bottom: 0; font-size: .85rem; color: var(--soft); }
pre { margin: .15rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; font-size: .9rem;
  line-height: 1.45; unicode-bidi: plaintext; }
@media (max-width: 34rem) { tbody th { white-space: normal; max-width: 9rem; } td, th { padding: .4rem .5rem; }
  .columns { gap: 0; } }
@media print { :root { color-scheme: light; --ground: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  main { max-width: none; padding: 0; } nav { display: none; } body { font-size: 10pt; }
  .table { overflow: visible; border: 0; } table { font-size: 8pt; } th, td { padding: .2rem .35rem;
  white-space: normal; } tr, figure, article, h2, h3 { break-inside: avoid; } h2, h3, caption, thead {
  break-after: avoid; } tbody th { position: static; }
  figure { width: 45%; } }
"""
