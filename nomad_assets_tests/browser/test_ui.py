"""What people do in the Dagster UI, done in a real browser on the real pages."""

import re

import pytest

from nomad_assets.partitions import Cell
from nomad_assets.storage import Store
from nomad_assets_tests.browser.conftest import shoot

pytestmark = [pytest.mark.browser, pytest.mark.system]
GROUPS = ("corpora", "inputs", "lineage", "report", "scores", "students", "teachers")


def opened(page, address: str, path: str, sign: str) -> None:
    """Go to a page and wait until it shows a text."""
    page.goto(address + path)
    page.get_by_text(sign, exact=True).first.wait_for()


def test_the_graph_has_its_groups_and_opens_them(page, address) -> None:
    opened(page, address, "/asset-groups", "Global asset lineage")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()
    page.goto(address + "/locations/nomad_assets/asset-groups/corpora/lineage")
    for asset in ("synthetic_corpus", "curated_corpus", "corpus_profile"):
        page.get_by_text(asset, exact=True).first.wait_for()
    page.wait_for_timeout(1000)
    shoot(page, "graph")


def test_an_assets_page_says_what_it_is_and_shows_its_data(page, address) -> None:
    opened(page, address, "/assets/teacher_model", "Definition")
    for text in (
        "A model fine-tuned to write training data: loss on the response and, weighted by its arm, on the prompt.",
        "data-synthesis", "teachers", "PyTorch", "Hugging Face", "nomad/needs: accelerator", "Row count",
        "tokens with loss; 0 for a row not used", "artifact_id", "peak_memory_mib", "seconds",
    ):  # fmt: skip
        page.get_by_text(text, exact=True).first.wait_for()
    curve = page.get_by_role("img", name="training curve")
    curve.scroll_into_view_if_needed()
    assert curve.evaluate("image => image.naturalWidth") > 400
    shoot(page, "teacher-page")


@pytest.mark.parametrize(
    ("asset", "alt"),
    [
        ("corpus_profile", "relevance against novelty of each row, and of the seed examples"),
        ("corpus_profile", "NormSim histogram with the band"),
        ("corpus_profile", "novelty against corpus size"),
        ("recipe_report", "relevance and novelty"),
        ("recipe_report", "trivia over sizes"),
    ],
)
def test_plots_stand_on_the_pages(page, address, asset: str, alt: str) -> None:
    opened(page, address, f"/assets/{asset}", "Definition")
    plot = page.get_by_role("img", name=alt)
    plot.scroll_into_view_if_needed()
    assert plot.evaluate("image => image.naturalWidth") > 400
    page.wait_for_timeout(300)


def test_rows_are_previewed_as_a_table(page, address) -> None:
    opened(page, address, "/assets/seed_examples", "Definition")
    page.get_by_text("preview", exact=True).first.wait_for()
    page.get_by_role("button", name=re.compile("Show table|View table|Show Table", re.I)).first.click()
    page.get_by_text("response", exact=True).first.wait_for()


def test_a_failing_check_shows_its_rows(page, address) -> None:
    opened(page, address, "/assets/curated_corpus?view=checks", "Checks (5)")
    page.get_by_text("few_rows_copy_seeds", exact=True).first.click()
    page.get_by_text("Latest execution").first.wait_for()
    page.get_by_text("seed_copy_share", exact=True).first.wait_for()
    page.wait_for_timeout(500)
    shoot(page, "failing-check")


def test_figures_are_plotted_over_partitions(page, address) -> None:
    opened(page, address, "/assets/student_scores", "Definition")
    page.get_by_text("Plots", exact=True).first.click()
    page.get_by_text("trivia_exact_match", exact=True).first.wait_for()
    assert page.locator("canvas").count() > 0
    shoot(page, "metadata-plots")


def test_automation_is_there_and_off(page, address) -> None:
    opened(page, address, "/automation", "follow_changes")
    for name in ("checks_daily", "seed_files_changed"):
        page.get_by_text(name, exact=True).first.wait_for()
    switches = page.get_by_role("switch")
    assert [switch.is_checked() for switch in switches.all()] == [False] * 3


def test_freshness_is_shown(page, address) -> None:
    opened(page, address, "/assets/recipe_report", "Definition")
    page.get_by_text(re.compile("Freshness", re.I)).first.wait_for()


def pick(page, dimension: str, *keys: str) -> None:
    """Choose partitions of one dimension in the dialog that launches runs."""
    dialog = page.get_by_role("dialog")
    place = {"arm": 0, "train_size": 1}[dimension]
    dialog.get_by_text("Select a partition or create one").nth(0 if place == 0 else -1).click()
    for key in keys:
        page.get_by_text(key, exact=True).last.click()
    page.keyboard.press("Escape")


def test_a_cell_is_made_with_a_changed_setting(page, address, ui) -> None:
    store = Store(ui.home / "lake" / "own")
    before = store.current("teacher_model", Cell(8, "masked")).manifest
    opened(page, address, "/assets/teacher_model", "Definition")
    page.get_by_role("button", name="Materialize").first.click()
    pick(page, "arm", "masked")
    pick(page, "train_size", "8")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Config", exact=True).click()
    editor = dialog.locator(".CodeMirror")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("ops:\n  teacher_model:\n    config:\n      settings:\n        teacher.epochs: 3\n")
    shoot(page, "launchpad")
    dialog.get_by_role("button", name=re.compile("Launch")).click()
    deadline(page, lambda: store.current("teacher_model", Cell(8, "masked")).manifest.version > before.version)
    made = store.current("teacher_model", Cell(8, "masked")).manifest
    assert made.settings["training"]["epochs"] == 3.0 and before.settings["training"]["epochs"] == 40.0


def test_a_backfill_over_all_sizes_is_launched_and_watched_to_its_end(page, address, ui) -> None:
    store = Store(ui.home / "lake" / "own")
    opened(page, address, "/assets/seed_subset", "Definition")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_text("2 partitions").first.wait_for()
    shoot(page, "backfill")
    dialog.get_by_role("button", name="Launch backfill").click()
    page.goto(address + "/runs?view=backfills")
    page.get_by_text(re.compile("Completed|Success", re.I)).first.wait_for(timeout=240_000)
    shoot(page, "backfill-done")
    assert all(store.current("seed_subset", Cell(size)) for size in (8, 16))


def deadline(page, met, seconds: float = 240) -> None:
    for _ in range(int(seconds * 2)):
        if met():
            return
        page.wait_for_timeout(500)
    raise AssertionError(f"not done after {seconds:.0f} s; {shoot(page, 'late')}")
