"""A report as one HTML file, rendered from page.html.jinja with page.css and page.js inside it.

Jinja escapes everything that reaches the page, and `_shown` goes before it: names, settings, and above all rows that
a model wrote can hold markup, terminal escape codes or characters that reorder what is read.
"""

import base64
import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nomad_assets.recipe.report.blocks import Block, Picture, Reader, Section, printable
from nomad_assets.recipe.report.plots import INK

HERE = Path(__file__).parent
TEMPLATE, SCRIPT, STYLE = "page.html.jinja", HERE / "page.js", HERE / "page.css"


@dataclass(frozen=True)
class Figure:
    """A Picture as an element of the page."""

    view_box: str
    drawing: Markup
    """What is inside the SVG element, with its end."""
    specification: str
    alt: str


def html_page(title: str, subtitle: str, sections: list[Section]) -> str:
    """The sections as one HTML file that loads nothing: styles, figures and scripts are inside it."""
    numbers = itertools.count(1)
    scripts = _scripts() if any(isinstance(b, Picture | Reader) for s in sections for b in s.blocks) else []
    return _environment().get_template(TEMPLATE).render(
        title=title,
        subtitle=subtitle,
        style=Markup(STYLE.read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        digests=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        sections=[(section.title, [_placed(block, numbers) for block in section.blocks]) for section in sections],
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, finalize=_shown, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["json_element"] = _json_element
    return environment


def _shown(value: object) -> object:
    """What the page shows of a value: a text without the characters that act on its reader."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _json_element(value: object) -> Markup:
    """JSON inside a script element: no `<` that could end it, and no character that reorders it. A text is JSON already."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(printable(text).replace("<", "\\u003c"))


def _scripts() -> list[str]:
    """Vega with its parts, and our own script. Its expressions are interpreted, so that no text becomes code."""
    import vl_convert

    return [vl_convert.javascript_bundle(), SCRIPT.read_text(encoding="utf-8")]


def _placed(block: Block, numbers: "itertools.count[int]") -> Block | Figure:
    return _figure(block, f"f{next(numbers)}-") if isinstance(block, Picture) else block


def _figure(picture: Picture, prefix: str) -> Figure:
    """The figure as an element of the page: scales with it, takes its text colour, is read out as one image."""
    drawing = picture.svg[picture.svg.index("<svg") :]
    tag, rest = drawing.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', tag)
    # Ids are unique within a figure only, and several figures share this page.
    rest = re.sub(r'\bid="', f'id="{prefix}', rest)
    rest = rest.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')
    # One image with one text, not a hundred marks to read out.
    rest = re.sub(r' (role|aria-roledescription)="graphics-[^"]*"', "", rest).replace(INK, "currentColor")
    return Figure(
        box.group(1) if box else "0 0 331 238", Markup(rest.strip()),
        picture.specification.replace(INK, "currentColor"), picture.alt,
    )  # fmt: skip
