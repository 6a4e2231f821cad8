"""The report's table: its contract."""

from nomad_assets.steps.report import Comparisons
from nomad_assets_tests.steps.right_tables import Breach, assert_counted_and_shown, breaches


@breaches(Comparisons, ("n", -1, "greater_than_or_equal_to(0)"))
def test_the_contract_of_comparisons(breach: Breach) -> None:
    assert_counted_and_shown(breach)
