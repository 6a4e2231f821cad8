"""Yield and cost: tokens by one rule, rows that can be right, and rows to read beside them."""

import re
from dataclasses import replace

import polars as pl
import pytest

from nomad_assets.recipe.report.blocks import Columns, Paragraph, Table
from nomad_assets.recipe.report.costs import costs, tokens_per
from nomad_assets_tests.recipe.report.planted_data import make_data


@pytest.fixture(scope="module")
def data():
    return make_data(
        benchmarks={"trivia": "triviaqa"}, questions=8, kept=lambda size, arm: 0 if arm == "masked" else 96
    )


def tables(data) -> list[Table]:
    return [block for block in costs(data, None) if isinstance(block, Table)]


def column(table: Table, name: str) -> dict[str, str]:
    return {row[0]: row[table.header.index(name)] for row in table.rows}


def test_tokens_of_all_attempts_are_shared_by_the_kept_rows(data):
    _, prices = tables(data)
    assert column(prices, "Tokens per kept row") == {
        "16/masked": "–", "16/unmasked": f"{55_000 / 96:,.0f}", "64/masked": "–", "64/unmasked": f"{55_000 / 96:,.0f}",
    }  # fmt: skip
    assert column(prices, "Tokens per right row at best")["16/unmasked"] == f"{55_000 / 72:,.0f}"
    assert tokens_per({"prompt_tokens": 5, "response_tokens": 7, "kept": 0}, "kept") is None


def test_rows_without_a_sign_of_error_have_wilsons_interval_and_are_called_an_upper_bound(data):
    yields, _ = tables(data)
    assert column(yields, "No sign of error") == {
        "16/masked": "–", "16/unmasked": "72 of 96 (65.5% to 82.6%)", "64/masked": "–", "64/unmasked": "72 of 96 (65.5% to 82.6%)",
    }  # fmt: skip
    (said,) = [
        block.text for block in costs(data, None) if isinstance(block, Paragraph) and "sign of error" in block.text
    ]
    assert "an upper bound on the share of right rows" in said and "check_arithmetic, drop_non_questions and" in said


def test_agreement_is_a_column_only_where_several_answers_were_sampled(data):
    assert "Agreement" not in tables(data)[0].header
    several = replace(data, corpora=data.corpora.with_columns(agreement_kept=pl.lit(0.75)))
    assert set(column(tables(several)[0], "Agreement").values()) == {"0.750"}


def test_five_kept_rows_of_each_arm_of_one_size_are_shown_with_their_signs(data):
    (shown,) = [block for block in costs(data, "16/unmasked") if isinstance(block, Columns)]
    assert list(shown.columns) == ["16/masked, kept", "16/unmasked, kept"]
    for examples in shown.columns.values():
        assert len(examples) == 5
        for one in examples:
            assert re.match(r"kept, (no sign of error|sign of error: unused_number \(7\)), relevance", one.facts)
            assert list(one.parts) == ["Prompt", "Response"]


def test_without_a_kept_row_there_is_none_to_show(data):
    none = replace(data, rows=data.rows.filter(verdict="dropped"))
    assert costs(none, None)[-1] == Paragraph("There is no kept row to show.")
