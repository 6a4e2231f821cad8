"""The report: does synthetic data help here, which recipe makes it, and is that more than luck?

The numbers come from `comparisons`, `recommendation` and `proxies`; the sections, in the order of the page, from `answer`,
`scores`, `costs`, `proxies` and `corpora`, the line below the title from `header`; `markdown` and `page` render them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from nomad_assets.recipe.report import plots
from nomad_assets.recipe.report.answer import answer
from nomad_assets.recipe.report.blocks import Bullets, Paragraph, Section, Table
from nomad_assets.recipe.report.comparisons import Findings
from nomad_assets.recipe.report.corpora import dropped_rows, examples, lenses, row_points
from nomad_assets.recipe.report.costs import costs
from nomad_assets.recipe.report.header import subtitle
from nomad_assets.recipe.report.markdown import markdown_page
from nomad_assets.recipe.report.page import html_page
from nomad_assets.recipe.report.proxies import what_goes_with_better_students
from nomad_assets.recipe.report.recommendation import Recommendation, recommend
from nomad_assets.recipe.report.report_data import ReportData
from nomad_assets.recipe.report.scores import leaderboard, paired_comparisons, scorings

if TYPE_CHECKING:
    import altair as alt

TITLE = "Does synthetic data help here?"


@dataclass(frozen=True)
class Report:
    markdown: str
    html: str
    recommended: str | None
    """Label of the recommended cell, such as 64/unmasked."""
    comparisons: pl.DataFrame
    """Every paired comparison, columns of COMPARISON_SCHEMA; null train_size or benchmark means pooled over all."""
    figures: dict[str, "alt.TopLevelMixin"]
    """The main charts by a name each: a score a benchmark over sizes, and the rows of all arms."""


def build_report(data: ReportData) -> Report:
    """Compare, recommend and write it up. Raises NomadError when a setting is missing or a result is not a number."""
    findings = Findings(data)
    chosen = recommend(findings)
    sections, below = _sections(findings, chosen), subtitle(data)
    markdown, html = markdown_page(TITLE, below, sections), html_page(TITLE, below, sections)
    return Report(markdown, html, chosen.cell, findings.comparisons, _figures(findings))


def results_page(data: ReportData) -> tuple[str, dict[str, str]]:
    """(the report as Markdown, the SVG files that it links by their paths): for a repository, where it is read beside its data."""
    findings = Findings(data)
    pictures: dict[str, str] = {}
    return markdown_page(TITLE, subtitle(data), _sections(findings, recommend(findings)), pictures), pictures


def _sections(findings: Findings, chosen: Recommendation) -> list[Section]:
    data, recommended = findings.data, chosen.cell
    sections = [
        Section("The answer", answer(findings, chosen)),
        Section("Recommended cell", [Paragraph(chosen.why, chosen.choice)]),
        Section("Leaderboard", leaderboard(findings, recommended)),
        Section("Paired comparisons", paired_comparisons(findings)),
        Section("Completion, yield and cost", costs(data, recommended)),
        Section("What goes with better students", what_goes_with_better_students(findings)),
        Section("Why rows were dropped", dropped_rows(data)),
        Section("Relevance and novelty", lenses(data)),
        Section("All scoring rules side by side", scorings(findings)),
        Section("Synthetic rows to read", examples(data, recommended)),
        Section("Settings", [_settings(data)]),
    ]
    if data.missing:
        sections.append(Section("Missing cells", [Bullets(list(data.missing))]))
    return sections


def _figures(findings: Findings) -> dict[str, "alt.TopLevelMixin"]:
    data = findings.data
    found = {
        f"{name}_over_sizes": plots.scores_over_sizes(data.scores, name, metric)
        for name, metric in findings.primary.items()
    }
    return {**found, "relevance_and_novelty": plots.relevance_against_novelty(row_points(data))}


def _settings(data: ReportData) -> Table:
    def plain(value: object) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    rows = [["profile", data.profile_name]] + [[str(key), plain(value)] for key, value in data.settings.items()]
    return Table("What this report was made with.", ["Setting", "Value"], rows, words=2)
