"""The difference of two recipes: exact where a hand can compute it, simulated where not."""

import numpy as np
import pytest
from scipy import stats

from nomad_assets.recipe.evaluation.components import columns_of, components
from nomad_assets.recipe.evaluation.crossed import (
    EXACT_REPLICATES,
    FEWEST_REPLICATES,
    crossed_difference,
    equivalence,
    holm,
    missing_for_verdict,
    sign_flip_p,
)
from nomad_assets.recipe.evaluation.statistics import stratified_bootstrap
from nomad_assets_tests.recipe.evaluation.worlds import World, worlds

EXAMPLE = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 0, -1]], float)
WORLDS = 400


def test_the_worked_example():
    found = crossed_difference(EXAMPLE)
    assert (found.mean, found.questions, found.clusters, found.replicates, found.differing) == (0.5, 4, 4, 5, 4)
    variance = 0.125 / 5 + 0.52 / 3 / 4 - 0.01
    assert found.standard_error == pytest.approx(variance**0.5)
    freedom = variance**2 / (0.025**2 / 4 + (0.52 / 12) ** 2 / 3 + 0.01**2 / 12)
    assert found.degrees_of_freedom == pytest.approx(freedom)
    reach = stats.t.ppf(0.975, freedom) * variance**0.5
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach))
    assert found.run_sd == pytest.approx((0.125 - 0.05) ** 0.5)
    assert (found.verdict, found.missing) == ("no difference shown", None)


def test_p_is_students_and_agrees_with_the_interval():
    generator = np.random.default_rng(0)
    values = generator.normal(0.3, 1, (8, 60)) + generator.normal(0, 0.2, (8, 1))
    found = crossed_difference(values)
    assert found.p == pytest.approx(2 * stats.t.sf(found.mean / found.standard_error, found.degrees_of_freedom))
    at_the_edge = crossed_difference(values, confidence=1 - found.p)
    assert at_the_edge.low == pytest.approx(0, abs=1e-9) and at_the_edge.high == pytest.approx(2 * found.mean)


def test_without_noise_of_answers_it_is_the_sum_of_two_known_variances():
    runs, questions = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([-2.0, 0.0, 2.0, 4.0])
    found = crossed_difference(runs[:, None] + questions)
    assert found.standard_error == pytest.approx((2.5 / 5 + 20 / 3 / 4) ** 0.5)
    assert found.run_sd == pytest.approx(2.5**0.5)


def test_the_variance_is_never_below_that_of_replicates_or_questions():
    """Noise alone: in some samples V_E is larger than V_R, so that the sum would be below V_C."""
    generator, floored = np.random.default_rng(13), 0
    for _ in range(50):
        values = generator.normal(size=(5, 10))
        parts, variance = components(values, columns_of(10, None, None)), crossed_difference(values).standard_error ** 2
        total = parts.replicates + parts.clusters - parts.crossing
        assert variance == pytest.approx(max(parts.replicates, parts.clusters, total))
        floored += variance > total + 1e-9
    assert 10 < floored < 50


def test_clusters_of_one_question_are_no_clusters():
    values = np.random.default_rng(1).normal(size=(6, 30))
    assert crossed_difference(values, clusters=list(range(30))) == crossed_difference(values)
    assert crossed_difference(values, clusters=[None] * 30) == crossed_difference(values)


def test_copies_of_a_question_in_one_cluster_add_nothing():
    values = np.random.default_rng(2).normal(size=(6, 12))
    once = crossed_difference(values)
    copied = crossed_difference(np.repeat(values, 5, axis=1), clusters=np.repeat(np.arange(12), 5))
    assert copied.standard_error == pytest.approx(once.standard_error)
    assert copied.degrees_of_freedom == pytest.approx(once.degrees_of_freedom)
    assert crossed_difference(np.repeat(values, 5, axis=1)).standard_error < once.standard_error


def test_the_order_of_questions_does_not_matter():
    generator = np.random.default_rng(3)
    values, clusters, benchmarks = generator.normal(size=(5, 40)), generator.integers(0, 9, 40), np.arange(40) % 2
    order = generator.permutation(40)
    one = crossed_difference(values, clusters=clusters, benchmarks=benchmarks)
    other = crossed_difference(values[:, order], clusters=clusters[order], benchmarks=benchmarks[order])
    assert (one.low, one.high, one.p, one.run_sd) == pytest.approx((other.low, other.high, other.p, other.run_sd))


def test_unequal_clusters_are_unbiased_where_cluster_means_vary_alike():
    """Clusters of 1, 2, 3 and 14 questions, cluster means of SD 1: the mean of 20 questions has variance 210 / 400."""
    generator = np.random.default_rng(4)
    clusters = np.repeat(np.arange(4), [1, 2, 3, 14])
    groups = columns_of(20, clusters, None)
    found = [components(np.tile(generator.normal(size=4)[clusters], (2, 1)), groups) for _ in range(2000)]
    assert np.mean([parts.clusters for parts in found]) == pytest.approx(210 / 400, rel=0.08)
    assert 1 < found[0].cluster_df < 2  # one cluster has 14 of 20 questions
    matrix = np.eye(4) - np.outer(np.ones(4), groups[0].shares)
    inflated = groups[0].shares ** 2 / (1 - 2 * groups[0].shares + np.sum(groups[0].shares ** 2))
    form = matrix.T @ np.diag(inflated) @ matrix
    assert found[0].cluster_df == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


def test_benchmarks_weigh_the_same():
    values = np.random.default_rng(5).normal(size=(6, 40))
    values[:, :10] += 1
    benchmarks = ["few"] * 10 + ["many"] * 30
    found = crossed_difference(values, benchmarks=benchmarks)
    assert found.mean == pytest.approx((values[:, :10].mean() + values[:, 10:].mean()) / 2)
    alone = [crossed_difference(values[:, :10]), crossed_difference(values[:, 10:])]
    parts = components(values, columns_of(40, None, benchmarks))
    by_question = [values[:, :10].mean(axis=0), values[:, 10:].mean(axis=0)]
    assert parts.clusters == pytest.approx(sum(q.var(ddof=1) / len(q) / 4 for q in by_question))
    assert found.mean == pytest.approx((alone[0].mean + alone[1].mean) / 2)


def test_equal_cluster_names_of_two_benchmarks_are_two_clusters():
    values = np.random.default_rng(6).normal(size=(5, 8))
    found = crossed_difference(values, clusters=["a", "a", "b", "b"] * 2, benchmarks=["x"] * 4 + ["y"] * 4)
    assert found.clusters == 4


def test_a_recipe_with_one_replicate_has_no_verdict():
    found = crossed_difference(np.ones((1, 50)))
    assert (found.mean, found.low, found.high, found.p, found.verdict) == (1.0, None, None, None, "open: one replicate")
    assert found.missing == "4 more replicates: with 1 of 5, another run could give another answer."


@pytest.mark.parametrize("replicates", range(2, FEWEST_REPLICATES))
def test_a_recipe_with_few_replicates_has_an_interval_and_no_verdict(replicates):
    found = crossed_difference(np.random.default_rng(7).normal(5, 1, (replicates, 50)))
    assert found.low > 0 and found.verdict == "open: too few replicates"
    assert found.missing.startswith(f"{5 - replicates} more replicate{'s' * (replicates < 4)}: with {replicates} of 5")
    assert not equivalence(found, margin=1e6).shown


def test_five_replicates_are_enough():
    values = np.random.default_rng(8).normal(5, 1, (5, 50))
    assert crossed_difference(values).verdict == "higher" and crossed_difference(-values).verdict == "lower"
    assert missing_for_verdict(5) is None


def test_one_cluster_settles_nothing():
    found = crossed_difference(np.random.default_rng(9).normal(5, 1, (5, 50)), clusters=["t"] * 50)
    assert (found.low, found.verdict) == (None, "open: too few clusters") and "one cluster" in found.missing
    mixed = crossed_difference(np.ones((5, 3)), benchmarks=["a", "a", "b"])
    assert mixed.verdict == "open: too few clusters"


def test_a_handful_of_differing_questions_settles_nothing():
    """By the sign test five agreeing questions have p = 2 / 32, six have 2 / 64."""
    values = np.zeros((8, 8))
    values[:, :5] = 1.0
    five = crossed_difference(values)
    assert (five.low, five.p, five.verdict) == (0.0, pytest.approx(2 / 32), "no difference shown")
    values[:, 5] = 1.0
    assert crossed_difference(values).verdict == "higher"


def test_no_difference_at_all():
    found = crossed_difference(np.zeros((5, 30)))
    assert (found.mean, found.low, found.high, found.p, found.permutation_p) == (0.0, 0.0, 0.0, 1.0, 1.0)
    assert found.verdict == "no difference shown" and found.differing == 0
    assert not equivalence(found, margin=0.01).shown  # a variance of zero from no case is no evidence


def test_equal_differences_everywhere():
    found = crossed_difference(np.ones((5, 30)))
    assert (found.low, found.high, found.p, found.verdict) == (1.0, 1.0, 0.0, "higher")
    assert equivalence(found, margin=1.1).shown and not equivalence(found, margin=1.0).shown


def test_sign_flips_by_hand():
    """Of the eight sign patterns of 3, 1, 1 sums are ±5, ±3 twice, ±1: only ±5 is as far as 5, six are as far as 3."""
    assert sign_flip_p(np.array([3.0, 1.0, 1.0])) == 2 / 8
    assert sign_flip_p(np.array([3.0, 1.0, -1.0])) == 6 / 8
    assert sign_flip_p(np.ones(8)) == 2 / 2**8
    assert sign_flip_p(-np.ones(8)) == 2 / 2**8


def test_sign_flips_agree_with_scipys_and_with_drawn_ones(monkeypatch):
    means = np.random.default_rng(10).normal(0.5, 1, 9)
    scipys = stats.permutation_test(
        (means,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", vectorized=True, n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(means) == pytest.approx(scipys)
    monkeypatch.setattr("nomad_assets.recipe.evaluation.crossed.EXACT_REPLICATES", 5)
    assert sign_flip_p(means, seed=1) == pytest.approx(scipys, abs=0.02)


def test_many_replicates_draw_their_flips_from_the_seed():
    means = np.random.default_rng(11).normal(0.3, 1, EXACT_REPLICATES + 1)
    assert sign_flip_p(means, seed=1) == sign_flip_p(means, seed=1) != sign_flip_p(means, seed=2)


def test_equivalence_is_two_one_sided_tests():
    found = crossed_difference(np.random.default_rng(12).normal(0.02, 1, (8, 400)))
    tested = equivalence(found, margin=0.15)
    t = stats.t(found.degrees_of_freedom)
    ps = [t.sf((found.mean + 0.15) / found.standard_error), t.cdf((found.mean - 0.15) / found.standard_error)]
    assert tested.p == pytest.approx(max(ps)) and tested.shown
    assert tested.high - tested.low == pytest.approx(2 * t.ppf(0.95) * found.standard_error)
    # Shown exactly when the 90% interval lies within the margin.
    edge = max(abs(tested.low), abs(tested.high))
    assert equivalence(found, margin=edge * 1.001).shown and not equivalence(found, margin=edge * 0.999).shown


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (np.ones(5), {}, "shape"),
        (np.ones((0, 5)), {}, "shape"),
        (np.array([[1.0, np.nan]]), {}, "1 of 2 differences are not finite"),
        (np.ones((5, 5)), {"clusters": [1, 2]}, "clusters: 2 labels for 5 questions"),
        (np.ones((5, 5)), {"benchmarks": [1, 2]}, "benchmarks: 2 labels for 5 questions"),
        (np.ones((5, 5)), {"confidence": 95}, "confidence = 95"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, arguments, message):
    with pytest.raises(ValueError, match=message):
        crossed_difference(values, **arguments)


def test_impossible_margins_and_p_values_are_refused():
    found = crossed_difference(EXAMPLE)
    with pytest.raises(ValueError, match="margin = 0"):
        equivalence(found, margin=0)
    with pytest.raises(ValueError, match="alpha"):
        equivalence(found, margin=1, alpha=0.5)
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, 1.2])


def rejections(world: World, seed: int) -> tuple[int, int]:
    """How many of WORLDS are called different, by replicates × questions and by questions alone."""
    by_both = by_questions = 0
    for number, (values, clusters) in enumerate(worlds(world, WORLDS, seed)):
        found = crossed_difference(values, clusters=clusters)
        by_both += found.verdict in ("higher", "lower")
        if world.kind == "exact match" and number % 4 == 0:
            old = stratified_bootstrap([values.mean(axis=0)], resamples=200, seed=number)
            by_questions += old.verdict != "no difference shown"
    return by_both, by_questions


@pytest.mark.parametrize("clustered", [False, True], ids=["alone", "clustered"])
@pytest.mark.parametrize("kind", ["exact match", "log-probability"])
@pytest.mark.parametrize(("replicates", "questions"), [(5, 250), (8, 80), (12, 250)])
def test_a_verdict_is_wrong_about_as_often_as_it_claims(kind, clustered, replicates, questions):
    """Between 3% and 7% of worlds, each end with 2.6 binomial standard errors (0.5% of right estimators fail)."""
    wrong, _ = rejections(World(kind, replicates, questions, clustered), seed=replicates + questions)
    assert stats.binom.ppf(0.005, WORLDS, 0.03) <= wrong <= stats.binom.ppf(0.995, WORLDS, 0.07)


@pytest.mark.parametrize("run", [0.0, 0.05])
def test_a_recipe_against_itself_is_seldom_called_different(run):
    wrong, _ = rejections(World("exact match", 8, 250, run=run, same=True), seed=1)
    assert wrong <= stats.binom.ppf(0.995, WORLDS, 0.06)


def test_questions_alone_are_wrong_far_more_often():
    """What `stratified_bootstrap` must not be used for: a verdict about recipes. This world has the larger run SD."""
    by_both, by_questions = rejections(World("exact match", 5, 500, run=0.05), seed=2)
    assert by_both <= stats.binom.ppf(0.995, WORLDS, 0.07) and by_questions > WORLDS / 4 * 0.25
