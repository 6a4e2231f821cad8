"""The report's HTML in a real browser: plots that answer a pointer, rows to read, phone, dark, paper, axe."""

import os
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.recipe.report.report import build_report
from nomad_assets_tests.browser.conftest import shoot
from nomad_assets_tests.recipe.report.planted_data import NASTY, make_data

pytestmark = [pytest.mark.browser, pytest.mark.system]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with rows that try to break out of it, or the one that NOMAD_REPORT names."""
    if given := os.environ.get("NOMAD_REPORT"):
        return Path(given).resolve()
    data = make_data()
    nasty = pl.when(pl.col("id").str.ends_with("7")).then(pl.lit(NASTY)).otherwise("prompt")
    object.__setattr__(data, "rows", data.rows.with_columns(prompt=nasty))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(data).html, encoding="utf-8")
    return path


@pytest.fixture
def read(page, report: Path):
    """The page with the report, and what went wrong or was asked of the network meanwhile."""
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append("a row opened a dialog") or dialog.dismiss())
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else problems.append(asked.url),
    )
    page.goto(report.as_uri())
    yield page
    assert problems == []


def drawn(page) -> None:
    """Scroll through the page, so that every figure is drawn, and back."""
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        figure.locator("svg.marks").wait_for()
    page.evaluate("window.scrollTo(0, 0)")


def test_every_figure_is_drawn_and_answers_a_pointer(read) -> None:
    drawn(read)
    assert read.locator("figure svg.marks").count() == read.locator("figure").count() == 10
    scatter = read.locator("figure", has_text="sampled rows")
    scatter.scroll_into_view_if_needed()
    scatter.locator("svg.marks .mark-symbol.role-mark path").last.hover(force=True)
    tip = read.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "relevance" in tip.inner_text() and "novelty" in tip.inner_text()
    scatter.locator("xpath=ancestor::section").evaluate("section => section.scrollIntoView()")
    shoot(read, "report-scatter")


def test_a_figure_can_be_saved(read) -> None:
    drawn(read)
    figure = read.locator("figure").first
    figure.locator("summary").click()
    assert "Save as SVG" in figure.inner_text() and "View Source" not in figure.inner_text()


def test_rows_are_read_side_by_side(read) -> None:
    reader = read.locator(".reader")
    reader.scroll_into_view_if_needed()
    panes = reader.locator("> div")
    assert panes.count() == 2
    first = panes.nth(0).locator("article").inner_text()
    panes.nth(0).get_by_role("button", name="Another row").click()
    assert panes.nth(0).locator("article").inner_text() != first
    panes.nth(1).get_by_label("Rows").select_option("near repeat")
    assert "dropped: near repeat" in panes.nth(1).locator("article").inner_text()
    assert "Nearest seed response" in panes.nth(1).locator("article").inner_text()
    shoot(read, "report-rows")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(read, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    read.emulate_media(color_scheme=scheme)
    drawn(read)
    results = Axe().run(read)
    found = [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in results.response["violations"]]
    shoot(read, f"report-{scheme}")
    assert found == []


def test_it_fits_a_phone(browser, report: Path) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True
    )
    page = context.new_page()
    page.goto(report.as_uri())
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.evaluate("[...document.querySelectorAll('svg.marks text')].map(t => t.getBoundingClientRect().height)")
    assert min(sizes) >= 8
    shoot(page, "report-phone")
    context.close()


def test_it_prints_with_its_figures_and_without_its_controls(read, tmp_path: Path) -> None:
    drawn(read)
    read.emulate_media(media="print")
    assert not read.locator(".reader").is_visible() and not read.locator("nav").is_visible()
    assert read.locator("figure svg").first.is_visible()
    read.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    read.emulate_media(media="screen")


def test_it_is_whole_without_scripts(browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("figure svg").count() == 10 and page.locator("figure svg").first.is_visible()
    assert not page.locator(".reader").is_visible()
    context.close()
