"""What people do in the Dagster UI, done in a real browser on the real pages."""

import pytest

from nomad_assets.cells import Cell
from nomad_assets.engine.plan import is_current
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.browser.conftest import shoot

pytestmark = [pytest.mark.browser, pytest.mark.system]
GROUPS = ("own_corpora", "own_inputs", "own_lineage", "own_report", "own_scores", "own_students", "own_teachers")


def opened(page, address: str, path: str, sign: str) -> None:
    """Go to a page and wait until it shows a text."""
    page.goto(address + path)
    page.get_by_text(sign, exact=True).first.wait_for()


def test_the_graph_has_its_groups_and_opens_them(page, address) -> None:
    opened(page, address, "/asset-groups", "Global asset lineage")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()
    page.goto(address + "/locations/nomad_assets/asset-groups/own_corpora/lineage")
    for asset in ("synthetic_corpus", "curated_corpus", "corpus_profile"):
        page.get_by_text(asset, exact=True).first.wait_for()
    page.wait_for_timeout(1000)
    shoot(page, "graph")


def test_an_assets_page_says_what_it_is_and_shows_its_data(page, address) -> None:
    opened(page, address, "/assets/own/teacher_model", "Definition")
    for text in (
        "A model that writes training data: fine-tuned with loss on the response and, weighted by its arm, on the prompt; or the "
        "untouched base model, where its arm says so.",
        "data-synthesis", "own_teachers", "PyTorch", "Hugging Face", "nomad/needs: accelerator", "Row count",
        "tokens with loss; 0 for a row not used", "artifact_id", "peak_memory_mib", "seconds",
    ):  # fmt: skip
        page.get_by_text(text, exact=True).first.wait_for()
    shoot(page, "teacher-page")


def shown(page, key: str) -> str:
    """Open a picture from the metadata table; its alternative text."""
    row = page.locator("tr", has=page.get_by_text(key, exact=True))
    row.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("dialog").locator("img[alt]").last
    picture.wait_for()
    wait_until(page, lambda: picture.evaluate("image => image.naturalWidth") > 400)
    name = picture.get_attribute("alt")
    shoot(page, f"plot-{key}")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    wait_until(page, lambda: page.get_by_role("dialog").count() == 0)
    return name


@pytest.mark.parametrize(
    ("asset", "pictures"),
    [
        ("teacher_model", {"training_curve": "training curve"}),
        (
            "corpus_profile",
            {
                "relevance_and_novelty": "relevance against novelty of each row, and of the seed examples",
                "normsim": "NormSim histogram with the band",
                "novelty_growth": "novelty against corpus size",
            },
        ),
        ("recipe_report", {"relevance_and_novelty": "relevance and novelty", "trivia_over_sizes": "trivia over sizes"}),
    ],
)
def test_plots_stand_on_the_pages(page, address, asset: str, pictures: dict[str, str]) -> None:
    opened(page, address, f"/assets/own/{asset}", "Definition")
    assert {key: shown(page, key) for key in pictures} == pictures


def test_rows_are_previewed_as_a_table(page, address) -> None:
    opened(page, address, "/assets/own/seed_examples", "Definition")
    preview = page.locator("tr", has=page.get_by_text("preview", exact=True)).locator("table").first
    preview.wait_for()
    said = preview.inner_text()
    assert "response" in said and "?" in said and len(said.splitlines()) > 5


def test_a_failing_check_shows_its_rows(page, address) -> None:
    opened(page, address, "/assets/own/curated_corpus?view=checks", "Checks (5)")
    page.get_by_text("few_rows_copy_seeds", exact=True).first.click()
    page.get_by_text("the limit is 5.0%").wait_for()
    rows = page.locator("tr", has=page.get_by_text("failing_rows", exact=True)).locator("table").first
    assert "prompt" in rows.inner_text() and "16/unmasked/" in rows.inner_text()
    page.wait_for_timeout(500)
    shoot(page, "failing-check")


def test_figures_are_plotted_over_partitions(page, address) -> None:
    opened(page, address, "/assets/own/student_scores", "Definition")
    page.get_by_role("button", name="Plots").click()
    title = page.get_by_text("trivia_exact_match", exact=True).first
    title.scroll_into_view_if_needed()
    assert page.locator("canvas").count() > 3
    page.wait_for_timeout(700)
    shoot(page, "metadata-plots")


def test_automation_is_there_and_off(page, address) -> None:
    opened(page, address, "/automation", "own_follow_changes")
    for name in ("own_checks_daily", "own_seed_files_changed"):
        page.get_by_text(name, exact=True).first.wait_for()
    switches = page.locator("label[class*=formatSwitch] input")
    wait_until(page, lambda: switches.count() == 3)
    assert [switch.is_checked() for switch in switches.all()] == [False] * 3
    shoot(page, "automation")


def test_freshness_is_shown(page, address) -> None:
    opened(page, address, "/assets/own/recipe_report", "Definition")
    page.get_by_text("Fails if more than 7 days since last materialization").wait_for()


def pick(page, key: str) -> None:
    """Choose one partition of the first dimension that has none yet."""
    page.get_by_role("dialog").get_by_text("Select a partition or create one").first.click()
    page.get_by_role("menuitem").get_by_text(key, exact=True).first.click()
    page.keyboard.press("Escape")
    page.get_by_role("menuitem").first.wait_for(state="hidden")


def epochs(store: LocalStore, cell: Cell) -> float:
    return store.current("teacher_model", cell).manifest.settings["teacher"]["epochs"]


def test_a_cell_is_made_with_a_changed_setting_and_a_backfill_makes_all_again(page, address, ui) -> None:
    store, cell = LocalStore(ui.home / "lake" / "own"), Cell(8, "masked")
    assert epochs(store, cell) == 40.0
    opened(page, address, "/assets/own/teacher_model", "Definition")
    page.get_by_role("button", name="Materialize").first.click()
    pick(page, "masked")
    pick(page, "8")
    dialog = page.get_by_role("dialog").first
    dialog.get_by_text("Config", exact=True).click()
    dialog.get_by_role("button", name="Add config").click()
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("ops:\n  own__teacher_model:\n    config:\n      settings:\n        teacher.epochs: 3\n")
    page.get_by_role("dialog").last.get_by_text("No errors").wait_for()
    page.wait_for_timeout(500)
    shoot(page, "launchpad")
    page.get_by_role("button", name="Save config").click()
    page.get_by_role("button", name="Launch 1 run").click()
    wait_until(page, lambda: epochs(store, cell) == 3.0)

    known = {entry["id"] for entry in backfills(ui)}
    opened(page, address, "/assets/own/teacher_model", "Definition")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").first
    pick(page, "masked")
    dialog.get_by_role("button", name="All", exact=True).last.click()
    dialog.get_by_text("2 partitions").first.wait_for()
    shoot(page, "backfill")
    dialog.get_by_role("button", name="Launch").click()
    wait_until(page, lambda: len(backfills(ui)) > len(known))
    (new,) = (entry["id"] for entry in backfills(ui) if entry["id"] not in known)
    page.goto(f"{address}/runs/b/{new}")
    page.get_by_text("100% completed").first.wait_for(timeout=0)
    page.wait_for_timeout(500)
    shoot(page, "backfill-done")
    wait_until(page, lambda: {"id": new, "status": "COMPLETED_SUCCESS"} in backfills(ui))
    assert epochs(store, cell) == epochs(store, Cell(16, "masked")) == 40.0


def backfills(ui) -> list[dict]:
    asked = "query { partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }"
    return ui.query(asked)["partitionBackfillsOrError"]["results"]


def test_changed_seeds_flow_through_the_grid_once_that_is_switched_on(page, address, ui, request) -> None:
    """Until one teacher is trained anew; with --heavy until the whole grid is, and reported."""
    profile = load_profile(str(ui.profile))
    store, grid = LocalStore(ui.home / "lake" / "own"), Grid(profile)
    places = grid.all_places()
    opened(page, address, "/automation", "own_follow_changes")
    switches = page.locator("label[class*=formatSwitch]")
    for number in (1, 2):  # not the schedule
        switches.nth(number).click()
        wait_until(page, lambda number=number: switches.nth(number).locator("input").is_checked())
    for name in ("own_seed_files_changed", "own_follow_changes"):
        wait_until(page, lambda name=name: looked(ui, name))
    before = {(step.name, cell): store.current(step.name, cell).manifest.version for step, cell in places}
    seeds = ui.home / "seeds.jsonl"
    seeds.write_text("".join(seeds.read_text(encoding="utf-8").splitlines(keepends=True)[20:]), encoding="utf-8")
    awaited = [place for place in places if place[0].name == "teacher_model"]

    def new() -> list[bool]:
        return [store.current(step.name, cell).manifest.version > before[step.name, cell] for step, cell in awaited]

    wait_until(page, lambda: any(new()))
    if request.config.getoption("--heavy"):
        wait_until(page, lambda: all(is_current(step, cell, grid, store) for step, cell in places))
        assert all(new())
    page.goto(address + "/runs")
    page.wait_for_timeout(2000)
    shoot(page, "automation-runs")


def looked(ui, sensor: str) -> bool:
    """Whether a sensor has looked once since it was switched on."""
    asked = """query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
      sensorState { ticks(limit: 1) { status } } } } }"""
    place = {"repositoryName": "__repository__", "repositoryLocationName": "nomad_assets", "sensorName": sensor}
    ticks = ui.query(asked, selector=place)["sensorOrError"]["sensorState"]["ticks"]
    return bool(ticks) and ticks[0]["status"] in ("SKIPPED", "SUCCESS")


def wait_until(page, met) -> None:
    """However long it takes here: a slower machine must not fail the suite. The test's own timeout ends what never comes."""
    while not met():
        page.wait_for_timeout(500)
