"""Debian's chromium, a real webserver over a finished run, and a folder for what the tests saw."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomad_assets.shipped import shipped_path
from nomad_assets_tests.smoke_grid import ROOT, write_profile
from nomad_assets_tests.webserver import Server

SHOTS = ROOT / "data" / "out" / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator:
    if CHROMIUM is None:
        pytest.skip("LEFT OUT: no chromium on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # --no-sandbox: the tests run as root in containers, where chromium's own sandbox cannot start.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, request: pytest.FixtureRequest) -> Iterator:
    """A page of a desktop's size. What it showed last is kept under the test's name."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(300_000)  # a page of a busy machine comes late
    yield opened
    shoot(opened, request.node.name)
    context.close()


def shoot(page, name: str, **options: object) -> Path:
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path, **options)
    return path


@pytest.fixture(scope="session")
def ui(finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The UI over a copy of a finished run, so that what tests do there is seen by no other."""
    home = tmp_path_factory.mktemp("ui")
    shutil.copytree(finished.profile.parent, home, dirs_exist_ok=True)
    # With a seed file of its own, which a test changes.
    shipped, own = "shipped://seed/trivia.jsonl", home / "seeds.jsonl"
    shutil.copy(shipped_path(shipped), own)
    path = write_profile(home)
    text = path.read_text(encoding="utf-8")
    assert text.count(shipped) == 1
    path.write_text(text.replace(shipped, str(own)), encoding="utf-8")
    server = Server(home, path)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def address(ui: Server) -> str:
    return f"http://127.0.0.1:{ui.port}"
