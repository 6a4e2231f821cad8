"""A report as Markdown, for terminals and the Dagster UI.

Everything that reaches the page passes through `_cell` or `_fenced`: names, settings, and above all rows that a model
wrote, which can hold markup, pipes, fences or terminal escape codes.
"""

import re

from nomad_assets.recipe.report.blocks import (
    Block,
    Bullets,
    Columns,
    Example,
    Paragraph,
    Picture,
    Reader,
    Section,
    Table,
    printable,
)


def markdown_page(title: str, subtitle: str, sections: list[Section], pictures: dict[str, str] | None = None) -> str:
    """The sections as GitHub-flavoured Markdown. Pictures are named, not embedded: they are in the HTML.

    With `pictures` they are linked as files beside the page, and the dictionary receives them: path -> SVG.
    """
    parts = [f"# {_cell(title)}", _cell(subtitle)]
    for section in sections:
        parts.append(f"## {_cell(section.title)}")
        parts.extend(_markdown_block(block, pictures) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


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


def _markdown_block(block: Block, pictures: dict[str, str] | None) -> str:
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
        case Picture(svg=svg, alt=alt) if pictures is not None:
            path = f"plots/{len(pictures) + 1:02}.svg"
            pictures[path] = svg
            return f"![{_cell(alt)}]({path})"
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
