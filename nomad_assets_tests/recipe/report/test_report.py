"""The report on synthetic data: the right verdicts, nothing lost, nothing that a model wrote breaking out."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest
from jinja2 import UndefinedError
from markdown_it import MarkdownIt

from nomad_assets.errors import NomadError
from nomad_assets.recipe.report.blocks import Section
from nomad_assets.recipe.report.markdown import _cell
from nomad_assets.recipe.report.page import html_page
from nomad_assets.recipe.report.report import Report, build_report
from nomad_assets_tests.recipe.report.planted_data import NASTY, RESULT_SCHEMA, make_data, make_scores


@pytest.fixture(scope="module")
def planted() -> Report:
    return build_report(make_data(replicates=5))


def opening(report: Report) -> str:
    return report.markdown.split("## The answer")[1].lstrip().splitlines()[0]


class Outline(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is not closed in order."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_planted_difference_is_the_first_thing_said(planted):
    said = opening(planted)
    assert re.match(
        r"\*\*Yes: students of (16|64)/unmasked beat students of the same \1 seed examples alone, trained for as", said
    )
    assert "2 benchmarks (trivia and sums)" in said and "this is of 120 others" in said
    assert re.fullmatch(r"(16|64)(-s\d)?/unmasked", planted.recommended)
    assert "It beats a student trained on the same" in planted.markdown
    assert "all sizes, all benchmarks: higher" in planted.markdown


@pytest.mark.parametrize(
    ("replicates", "words"),
    [
        (1, "**Open: one replicate cannot tell a recipe from luck."),
        (4, "**Open: 4 replicates are too few for a verdict."),
    ],
)
def test_too_few_replicates_leave_the_question_open(replicates, words):
    report = build_report(make_data(replicates=replicates))
    assert opening(report).startswith(words)
    assert "set replicates = 5 in the profile's grid" in report.markdown
    # 60 test questions in each of two benchmarks, each a draw of its own
    assert (
        "5 replicates of 120 independent test questions show a difference of some 12 points or more: nomad-assets power"
        in report.markdown
    )


def test_where_no_model_is_right_headroom_is_named():
    report = build_report(make_data(replicates=5, right=lambda model: -1.0))
    assert "Hardly any model is right on trivia and sums" in report.markdown
    assert "nomad-assets headroom" in report.markdown


def test_what_is_settled_needs_no_power(planted):
    assert "nomad-assets power" not in planted.markdown


def test_a_choice_is_made_on_the_dev_questions_and_reported_on_the_others():
    """unmasked is right on every dev question and no better than its control on the test questions."""
    data = make_data(sizes=(16,), replicates=5, benchmarks={"trivia": "triviaqa"}, right=lambda model: 0.3)
    lucky = (pl.col("arm") == "unmasked") & (pl.col("split") == "dev") & (pl.col("metric") == "exact_match")
    results = data.results.with_columns(value=pl.when(lucky).then(1.0).otherwise("value"))
    report = build_report(replace(data, results=results, scores=make_scores(results)))
    assert "16/unmasked was chosen on the dev questions" in opening(report)
    assert not opening(report).startswith("**Yes")


def test_where_the_control_is_ahead_no_cell_is_recommended():
    right = {"base": 0.1, "control": 0.6}
    report = build_report(make_data(replicates=5, right=lambda model: right.get(model[0], 0.3)))
    assert report.recommended is None and "**None: train on the seeds alone.**" in report.markdown
    assert opening(report).startswith("**No: students of ")


def test_a_cell_whose_students_had_no_synthetic_row_is_not_chosen():
    """masked is the better one on every question, and its students are the control under another name."""
    right = {"base": 0.1, "control": 0.6}
    data = make_data(
        sizes=(16,), replicates=5, right=lambda model: right.get(model[0], 0.6 if model[3] == "masked" else 0.5),
        kept=lambda size, arm: 0 if arm == "masked" else 40,
    )  # fmt: skip
    report = build_report(data)
    assert "16/unmasked was chosen on the dev questions" in opening(report) and report.recommended is None
    nothing = build_report(replace(data, corpora=data.corpora.with_columns(kept=pl.lit(0, pl.Int64))))
    assert "16/masked was chosen on the dev questions" in opening(nothing)


def test_questions_of_one_cluster_count_as_one_draw():
    data = make_data(sizes=(16,), replicates=5, benchmarks={"trivia": "triviaqa"})
    number = pl.col("question_id").str.slice(1).cast(pl.Int64)
    pairs = data.results.with_columns(cluster=pl.format("template {}", number // 8), split=pl.lit("test"))
    alone = data.results.with_columns(split=pl.lit("test"))
    widths = []
    for results in (alone, pairs):
        report = build_report(replace(data, results=results, scores=make_scores(results)))
        row = report.comparisons.filter(a="unmasked", b="masked", measure="primary", train_size=16).row(0, named=True)
        widths.append((row["difference"], row["high"] - row["low"]))
    assert widths[0][0] == pytest.approx(widths[1][0]) and widths[0][1] != widths[1][1]


def test_sections_come_in_order(planted):
    titles = re.findall(r"^## (.*)$", planted.markdown, flags=re.M)
    assert titles == [
        "The answer", "Recommended cell", "Leaderboard", "Paired comparisons", "Completion, yield and cost",
        "What goes with better students",
        "Why rows were dropped", "Relevance and novelty", "All scoring rules side by side", "Synthetic rows to read",
        "Settings", "Missing cells",
    ]  # fmt: skip
    assert "- 256/masked" in planted.markdown


def test_a_difference_is_exact():
    """Ten questions: unmasked right on nine, masked on two of those, so seven of ten differ: +70 points."""
    right = {"unmasked": [1.0] * 9 + [0.0], "masked": [1.0] * 2 + [0.0] * 8}
    rows = [
        ("student", 16, 0, name, weight, "trivia", f"q{i}", "exact_match", value, f"q{i}", "test")
        for name, weight in (("masked", 0.0), ("unmasked", 1.0))
        for i, value in enumerate(right[name])
    ]
    results = pl.DataFrame(rows, schema=RESULT_SCHEMA, orient="row")
    report = build_report(replace(make_data(sizes=(16,)), results=results, scores=make_scores(results)))
    row = report.comparisons.filter(pl.col("train_size") == 16, pl.col("benchmark") == "trivia").row(0, named=True)
    assert (row["a"], row["b"], row["n"], row["verdict"]) == ("unmasked", "masked", 10, "higher")
    assert row["difference"] == pytest.approx(0.7)
    assert row["low"] > 0.3 and row["high"] == pytest.approx(1.0, abs=0.11)
    assert "There are no scores of the untouched base to compare with." in report.markdown


def test_no_difference_is_called_so():
    report = build_report(make_data(replicates=5, right=lambda model: 0.3))
    assert opening(report).startswith("**No difference shown: students of ")


def test_a_loss_is_called_so():
    report = build_report(
        make_data(replicates=5, right=lambda model: 0.5 - 0.25 * (model[4] or 0) if model[0] == "student" else 0.2)
    )
    assert "all sizes, all benchmarks: lower" in report.markdown
    assert report.recommended.endswith("/masked")


def test_ties_go_to_the_log_probability_and_never_to_the_faster():
    data = make_data(sizes=(16, 64), right=lambda model: 0.3 if model[0] == "student" else 0.1)
    better = pl.when((pl.col("arm") == "unmasked") & (pl.col("train_size") == 64)).then(0.2).otherwise(0.0)
    is_logprob = pl.col("metric") == "answer_logprob"
    results = data.results.with_columns(value=pl.col("value") + pl.when(is_logprob).then(better).otherwise(0.0))
    by_logprob = build_report(replace(data, results=results, scores=make_scores(results)))
    assert by_logprob.recommended == "64/unmasked"
    assert "64/unmasked gives the right answers the highest log-probability" in by_logprob.markdown
    slow = data.corpora.with_columns(pl.col("^.*_seconds$") * pl.lit(7.0))
    assert build_report(replace(data, corpora=slow)).recommended == build_report(data).recommended


def test_an_unfilled_arm_is_said_in_words():
    report = build_report(make_data(kept=lambda size, arm: 0 if (size, arm) == (16, "masked") else 96))
    sentence = "16/masked could not fill its keep target: no row was kept of 96 wanted, from 100 completed rows in 400"
    assert sentence in report.markdown and sentence in report.html
    assert "| 16/masked | 400 | 30.0% | 100 | 0 of 96 | – | 0.0% |" in report.markdown


def test_what_a_model_wrote_stays_text():
    data = make_data(sizes=(16,))
    planted = build_report(replace(data, rows=data.rows.with_columns(prompt=pl.lit(NASTY), id=pl.lit(NASTY))))
    page, ours = without_scripts(planted.html)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "<img" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page + planted.markdown)
    assert not any(name.startswith("on") for name, _ in Outline(page).attributes)
    holding = [json.dumps(json.loads(text)) for script_type, text in ours if script_type]
    assert sum("alert('x')" in text for text in holding) == 2  # the scatter and the reader, as data
    assert all("<" not in text for script_type, text in ours if script_type)
    # The row has a run of three backticks, so its fence has four and nothing in it ends the block.
    assert "````text\n<script>" in planted.markdown
    assert "\n# not a heading <img src=x onerror=y>\n````" in planted.markdown


def test_names_and_reasons_cannot_break_a_table():
    data = make_data(sizes=(16,))
    reasons = data.reasons.with_columns(pl.col("reason").replace("near repeat", "a | b\n<b>`c`"))
    report = build_report(replace(data, reasons=reasons))
    assert "| a \\| b &lt;b&gt;\\`c\\` |" in report.markdown
    assert "<b>" not in report.html
    lines = [line for line in report.markdown.split("## Why rows were dropped")[1].splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines[:3]} == {5}


def test_a_cell_is_neither_emphasis_nor_a_link():
    text = "_x_ a/__b__/c ___d___ ~~y~~ exact_match *z* [a](b) <http://a.b> https://a.b www.c.d e@f.g"
    escaped = _cell(text)
    assert "exact_match" in escaped and not re.search(r"(?<!\\)(://|~)|www\.|\w@", escaped)
    page = MarkdownIt("commonmark").enable("strikethrough").render(escaped)
    assert html.unescape(page) == f"<p>{text}</p>\n"


def without_scripts(page: str) -> tuple[str, list[tuple[str, str]]]:
    """The page, and its scripts as (type, text); an empty type is one that runs."""
    element = re.compile(r'<script(?: type="([^"]*)")?>(.*?)</script>', flags=re.S)
    return element.sub("", page), element.findall(page)


def test_only_the_two_scripts_that_the_page_names_run(planted):
    _, scripts = without_scripts(planted.html)
    running = [text for script_type, text in scripts if not script_type]
    assert len(running) == 2 and "vegaEmbed" in running[0]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    named = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', planted.html)[1]
    assert policy.endswith(f"script-src {named}")
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy


def test_the_reader_has_rows_of_every_cell_and_verdict(planted):
    _, scripts = without_scripts(planted.html)
    (reader,) = [found for script_type, text in scripts if script_type and "sides" in (found := json.loads(text))]
    assert reader["sides"] == ["64/masked", "64/unmasked"] or reader["sides"] == ["16/masked", "16/unmasked"]
    assert {(row["cell"], row["reason"]) for row in reader["rows"]} == {
        (f"{size}/{arm}", reason)
        for size in ("16", "64", *(f"{size}-s{number}" for size in (16, 64) for number in range(1, 5)))
        for arm in ("masked", "unmasked")
        for reason in ("kept", "near repeat", "outside the band")
    }
    assert all("Nearest seed response" in row["parts"] for row in reader["rows"] if "Response" in row["parts"])


def test_html_loads_nothing_and_is_well_formed(planted):
    page, _ = without_scripts(planted.html)
    for name in ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"):  # names, not addresses
        page = page.replace(name, "")
    assert "http:" not in page and "https:" not in page and "//" not in page
    page = Outline(page)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert all(
        value.startswith(("#", "data:image/")) for name, value in page.attributes
        if name in ("href", "src", "xlink:href")
    )  # fmt: skip
    assert page.tags.count("figure") == 10 and page.tags.count("svg") == 10
    assert sum(name == "aria-label" for name, _ in page.attributes) >= 10
    assert ("scope", "row") in page.attributes and ("scope", "col") in page.attributes
    assert "prefers-color-scheme: dark" in planted.html and "@media print" in planted.html


def test_a_block_without_a_rendering_is_an_error():
    with pytest.raises(UndefinedError, match="str"):
        html_page("a title", "a subtitle", [Section("a section", ["a text in place of a block"])])


def test_same_data_same_report(planted):
    again = build_report(make_data(replicates=5))
    assert again.html == planted.html and again.markdown == planted.markdown


def test_replicates_are_averaged_per_question():
    report = build_report(make_data(sizes=(16,), replicates=2, benchmarks={"trivia": "triviaqa"}))
    pairs = report.comparisons.filter(pl.col("a") == "unmasked", pl.col("b") == "masked")
    assert pairs["n"].unique().to_list() == [60] and pairs["replicates"].unique().to_list() == [2]
    assert "2 replicates, which differ by up to" in report.markdown
    assert re.fullmatch(r"16(-s1)?/unmasked", report.recommended)


def test_every_other_weight_meets_the_lowest():
    report = build_report(make_data(sizes=(16,), weights={"unmasked": 1.0, "half": 0.5, "masked": 0.0}))
    pairs = report.comparisons.select("a", "b").unique()
    arms = {"unmasked", "half", "masked"}
    assert {(a, b) for a, b in pairs.iter_rows() if b in arms} == {("half", "masked"), ("unmasked", "masked")}


def test_one_arm_one_size_no_control():
    report = build_report(make_data(sizes=(16,), weights={"unmasked": 1.0}, control=False))
    assert "**It cannot be told here.** It takes students, their seed-only control" in report.markdown
    assert "There are no scores of a student trained on the same seed examples alone" in report.markdown
    assert report.recommended == "16/unmasked"
    assert "Whether it beats a student trained on the same 16 seed examples alone is not known" in report.markdown


def test_a_benchmark_only_some_cells_have():
    data = make_data()
    gone = (pl.col("benchmark") == "sums") & (pl.col("arm") == "unmasked") & (pl.col("train_size") == 64)
    keep = ~gone.fill_null(value=False)
    report = build_report(replace(data, results=data.results.filter(keep), scores=data.scores.filter(keep)))
    assert report.recommended == "16/unmasked"  # 64/unmasked is no candidate: it lacks a benchmark


def test_a_hub_task_with_its_own_metric_names():
    data = make_data(sizes=(16,), benchmarks={"gsm8k": "gsm8k"})
    renamed = data.results.filter(pl.col("metric") == "exact_match").with_columns(metric=pl.lit("acc,none"))
    report = build_report(replace(data, results=renamed, scores=make_scores(renamed)))
    assert "gsm8k acc,none" in report.markdown and report.recommended == "16/unmasked"


def test_a_metric_where_less_is_better_is_shown_and_not_pooled():
    data = make_data(sizes=(16,), benchmarks={"wiki": "task"})
    renamed = data.results.filter(pl.col("metric") == "exact_match").with_columns(metric=pl.lit("perplexity"))
    report = build_report(replace(data, results=renamed, scores=make_scores(renamed)))
    assert report.recommended is None and "perplexity" in report.markdown


def test_nothing_but_missing_cells():
    data = make_data(sizes=(16,))
    empty = {
        name: getattr(data, name).clear()
        for name in ("scores", "results", "corpora", "reasons", "rows", "seeds", "novelty_curve")
    }  # fmt: skip
    report = build_report(replace(data, **empty, missing=["16/masked", "16/unmasked"]))
    assert report.recommended is None and report.comparisons.is_empty()
    assert "- 16/unmasked" in report.markdown


def test_rows_without_lenses_or_texts():
    data = make_data(sizes=(16,))
    rows = data.rows.with_columns(
        relevance=pl.lit(None, pl.Float64), novelty=pl.lit(None, pl.Float64), prompt=pl.lit(None, pl.String),
        response=pl.lit(None, pl.String), nearest_seed_prompt=pl.lit(None, pl.String),
        nearest_seed_response=pl.lit(None, pl.String),
    )  # fmt: skip
    corpora = data.corpora.with_columns(pl.lit(None, pl.Float64).alias(c) for c in ("relevance_all", "relevance_kept"))
    report = build_report(replace(data, rows=rows, corpora=corpora))
    assert "(none was completed)" in report.markdown and "| 16/masked | – | – |" in report.markdown


def test_a_result_that_is_no_number_is_an_error():
    data = make_data(sizes=(16,))
    third = pl.when(pl.col("question_id") == "q3")
    broken = data.results.with_columns(value=third.then(float("nan")).otherwise("value"))
    with pytest.raises(NomadError, match="not a finite number"):
        build_report(replace(data, results=broken))


def test_a_benchmark_on_the_floor_is_named():
    report = build_report(make_data(sizes=(16,), right=lambda model: -1.0))
    assert "trivia: no model has more than 0.0% right" in report.markdown
