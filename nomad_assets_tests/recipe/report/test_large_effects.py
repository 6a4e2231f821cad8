"""What one replicate settles, and what it leaves open."""

import polars as pl

from nomad_assets.recipe.report.large_effects import what_is_settled


def corpora(**arms: tuple) -> pl.DataFrame:
    """Of one size: attempts, prompts_completed, kept_without_error, completed, mean relevance and its standard deviation."""
    names = ["attempts", "prompts_completed", "kept_without_error", "completed", "relevance_all", "relevance_sd"]
    return pl.DataFrame([{"arm": arm, **dict(zip(names, values, strict=True))} for arm, values in arms.items()])


def test_each_large_effect_is_a_sentence():
    found = corpora(masked=(64, 8, 2, 7, 0.117, 0.05), unmasked=(64, 52, 17, 51, 0.224, 0.06))
    assert list(what_is_settled(found)) == [
        "Attempts in which the teacher ended its prompt: masked 12.5% (6.5% to 22.8%) and unmasked 81.2% (70.0% to 88.9%).",
        "Relevance of what it wrote (NormSim to the seed examples): masked 0.117 (0.071 to 0.163) and unmasked 0.224 "
        "(0.207 to 0.241).",
        "Attempts that gave a kept row without a sign of error: masked 3.1% (0.9% to 10.7%) and unmasked 26.6% "
        "(17.3% to 38.5%).",
    ]


def test_effects_within_luck_are_left_out():
    alike = (64, 50, 17, 48, 0.22, 0.06)
    assert list(what_is_settled(corpora(masked=alike, unmasked=(64, 52, 20, 51, 0.23, 0.06)))) == []
    assert list(what_is_settled(corpora(unmasked=alike))) == []


def test_a_corpus_without_rows_has_no_relevance():
    found = corpora(masked=(64, 1, 0, 1, 0.1, None), unmasked=(64, 52, 17, 51, 0.224, 0.06))
    assert [line.split(":")[0] for line in what_is_settled(found)] == [
        "Attempts in which the teacher ended its prompt", "Attempts that gave a kept row without a sign of error",
    ]  # fmt: skip


def test_cells_of_an_arm_are_pooled_and_selections_left_out():
    """The interval of pooled relevance is that of all rows in one list."""
    low, high = pl.Series([0.1, 0.2, 0.3, 0.2]), pl.Series([0.5, 0.7, 0.6])
    one = (64, 60, 30)
    found = pl.concat([
        corpora(a=(*one, 4, low.mean(), low.std())), corpora(a=(*one, 3, high.mean(), high.std())),
        corpora(b=(64, 60, 30, 60, 0.9, 0.1)), corpora(**{"b@high": (64, 0, 0, 60, 0.0, 0.1)}),
    ])  # fmt: skip
    (line,) = what_is_settled(found)
    rows = pl.concat([low, high])
    reach = 2.446912 * rows.std() / 7**0.5
    assert f"a {rows.mean():.3f} ({rows.mean() - reach:.3f} to {rows.mean() + reach:.3f})" in line
    assert line.count("b 0.900") == 1 and "b@high" not in line


def test_no_attempts():
    nothing = (0, 0, 0, 0, None, None)
    assert list(what_is_settled(corpora(masked=nothing, unmasked=nothing))) == []
