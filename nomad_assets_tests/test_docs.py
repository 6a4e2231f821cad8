"""Every command of docs/, and those in blocks of README.md, are executed, in the order of the pages.

Blocks of `sh` are run as they stand, line by line, in one project folder, with the profile `smoke` in place of the
demo's. `sh once` are what this suite and CI are started by: that the target is there and what it would run is compared.
`sh serve` is started, waited for, and stopped. The page on own data runs with the real model, on a file of its own.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from nomad_assets.cells import Cell
from nomad_assets.profile.load import load_profile
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.smoke_grid import ROOT

pytestmark = pytest.mark.system
PAGES = ["first-run", "report", "backfills", "ci", "lineage", "export", "scaling-up", "headroom"]
BLOCK = re.compile(r"^```sh(?: (\w+))?\n(.*?)^```$", flags=re.M | re.S)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Command:
    page: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands(page: str, text: str) -> list[Command]:
    return [
        Command(page, kind or "run", line)
        for kind, block in BLOCK.findall(text)
        for line in block.splitlines()
        if line.strip()
    ]


def of_page(name: str) -> list[Command]:
    return commands(name, (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"))


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = {
        key: value for key, value in os.environ.items() if key not in ("NOMAD_HOME", "NOMAD_PROFILE", "DAGSTER_HOME")
    }
    return {**known, "PATH": path, "PYTHONPATH": str(ROOT), **more}


def execute(command: str, folder: Path, **more: str) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=900
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def serve(command: str, folder: Path, **more: str) -> None:
    """Start it, wait until its port answers, stop it with everything that it started."""
    port = int(re.search(r"--port (\d+)", command)[1])
    process = subprocess.Popen(shlex.split(command), cwd=folder, env=environment(**more), stdout=subprocess.DEVNULL)
    try:
        for _ in range(180):
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2) as answer:
                    assert "dagster_webserver_version" in json.load(answer)
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError(f"{command}: nothing answers on port {port}")
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        for child in psutil.wait_procs([*children, psutil.Process(process.pid)], timeout=20)[1]:
            child.kill()


def project(folder: Path) -> Path:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data" / "seed" / "trivia.jsonl", folder / "data" / "seeds.jsonl")
    return folder


def test_every_command_of_the_guide_runs(tmp_path: Path) -> None:
    home = project(tmp_path)
    seed_id = None
    for page in PAGES:
        for command in of_page(page):
            text = command.text
            if command.kind == "once":
                continue
            if "SEED_ID" in text:
                seed_id = seed_id or first_seed(home)
                text = text.replace("SEED_ID", seed_id)
            if command.kind == "serve":
                serve(text, home, NOMAD_PROFILE="smoke")
            else:
                execute(text, home, NOMAD_PROFILE="smoke")
    assert (home / "out" / "student" / "README.md").is_file()


def first_seed(home: Path) -> str:
    import polars as pl

    store = LocalStore(home / "data" / "lake" / load_profile("smoke").name)
    return pl.read_parquet(store.current("seed_subset", Cell(8)) / "seeds.parquet")["id"][0]


def test_own_data_to_a_report_with_the_real_model(tmp_path: Path) -> None:
    lines = (ROOT / "data" / "seed" / "trivia.jsonl").read_text(encoding="utf-8").splitlines()[:20]
    (tmp_path / "my.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder, said = tmp_path, []
    for command in of_page("own-data"):
        if command.text.startswith("cd "):
            folder = folder / command.text.removeprefix("cd ")
        else:
            said.append(execute(command.text, folder))
    assert "the whole grid" in said[1] and "## The answer" in said[-1]
    assert 1 / 3 < forecast_seconds(said[1]) / taken_seconds(folder / "data" / "lake" / "my-project") < 3, said[1]
    assert list((folder / "data" / "lake" / "my-project" / "recipe_report").rglob("report.html"))
    cell = Cell(max(load_profile(str(folder / "nomad.toml")).grid.train_sizes), "unmasked")
    execute(f"nomad-assets export {cell.label} out", folder)
    answer = subprocess.run(
        [sys.executable, "-c", SERVED], cwd=folder, env=environment(VLLM_CPU_KVCACHE_SPACE="1"), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert answer.returncode == 0 and "ANSWERED" in answer.stdout, answer.stderr[-4000:]


def forecast_seconds(said: str) -> float:
    """All lines of the table that `inspect` prints."""
    units = {"s": 1, "min": 60, "h": 3600}
    lines = re.findall(r"^[a-z_]+ +\d+ +([\d.]+) (s|min|h) ", said.split("the whole grid")[1], flags=re.M)
    assert len(lines) == 7
    return sum(float(number) * units[unit] for number, unit in lines)


def taken_seconds(lake: Path) -> float:
    """What the manifests say. A forecast is made in seconds, on machines that others use too: a factor of three is allowed."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in lake.rglob("manifest.json")]
    assert len(manifests) > 15
    return sum(manifest["seconds"] for manifest in manifests)


SERVED = """
if __name__ == "__main__":
    from vllm import LLM, SamplingParams
    model = LLM("out/student", dtype="bfloat16", enforce_eager=True, max_model_len=128)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    (answer,) = model.chat([asked], SamplingParams(temperature=0, max_tokens=8), use_tqdm=False)
    assert answer.outputs[0].text.strip()
    print("ANSWERED", answer.outputs[0].text)
"""


def test_what_make_does_is_what_the_guide_says() -> None:
    said = {}
    readme = commands("README", (ROOT / "README.md").read_text(encoding="utf-8"))
    once = {c.text.split("  #")[0].strip() for c in [*readme, *of_page("first-run")] if c.kind == "once"}
    assert once == {"make demo", "make test"}
    for target in ("demo", "test"):
        said[target] = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    assert "nomad-assets run --profile quickstart" in said["demo"] and "nomad-assets report" in said["demo"]
    assert "-m pytest" in said["test"]


def test_every_command_is_in_a_block_that_is_executed_and_every_page_is_tested() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    # The last three are executed by test_plugins_page.py, test_api.py and test_component.py.
    assert pages == {*PAGES, "own-data", "method", "compared", "plug-ins", "python-api", "dagster-projects"}
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for kind, block in re.findall(r"^```(.*)\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.M | re.S):
            if not kind.startswith("sh"):
                assert not re.search(r"^(nomad-assets|make|dagster) ", block, flags=re.M), f"{path.name}: {block}"


def test_every_command_in_the_readme_is_one_that_the_guide_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {command.kind for command in commands("README", text)} == {"once"}
    ran = {command.text for page in [*PAGES, "own-data"] for command in of_page(page)}
    named = re.findall(r"`(nomad-assets [a-z][^`]*)`", text)
    assert len(named) > 12
    for command in named:
        assert any(line == command or line.startswith(f"{command} --port") for line in ran), command


def test_no_link_leads_nowhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_help_text_has_an_example_and_says_how_it_exits() -> None:
    from typer.testing import CliRunner

    from nomad_assets.cli import app

    names = [command.callback.__name__ for command in app.registered_commands]
    assert "inspect" in names and "doctor" in names
    for arguments in [*([name] for name in names), ["lineage", "trace"], ["lineage", "sql"], ["lineage", "sync"]]:
        done = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"})
        assert done.exit_code == 0 and "Example: nomad-assets" in done.stdout, arguments
    assert "Exit codes: 0 done" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout


def test_the_shell_completes_commands(tmp_path: Path) -> None:
    script = execute("nomad-assets --show-completion bash", tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "complete -o default" in script
    asked = {"COMP_WORDS": "nomad-assets in", "COMP_CWORD": "1", "_NOMAD_ASSETS_COMPLETE": "complete_bash"}
    assert set(execute("nomad-assets", tmp_path, **asked).split()) == {"init", "inspect"}
