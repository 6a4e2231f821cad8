"""What is left when two runs meet, and when the disk, the clock or a user turns against one.

Kills at every file operation are in engine/test_kills.py.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import psutil
import pytest
from dagster._core.test_utils import create_run_for_test

from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Listener
from nomad_assets.store.local import LocalStore
from nomad_assets.wiring import instance as instances
from nomad_assets.wiring.runs import Order, run_grid
from nomad_assets_tests.crash import Reader, Run, differences, left_in_staging, lineage_rows, torn, versions
from nomad_assets_tests.smoke_grid import ROOT, enter_home, write_profile

pytestmark = pytest.mark.system

# Checkpoints do not change what is made; a kill should find some.
CHECKPOINTS = "max_length = 256\ncheckpoint_minutes = 0.005"
TEACHER = ("--cell", "8/unmasked", "--until", "teacher_model")
MADE_FOR_SCORES = {
    "seed_examples/-", "benchmark_questions/-", "base_model/-", "seed_subset/8", "teacher_model/8/unmasked",
    "synthetic_corpus/8/unmasked", "curated_corpus/8/unmasked", "student_model/8/unmasked", "student_scores/8/unmasked",
}  # fmt: skip
ARTIFACTS = "SELECT count(*) AS n FROM artifacts"
ENDLESS = "epochs = 100000\ncheckpoint_minutes = 0.01"


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Also after a test that failed: some of the runs here would take days."""
    yield
    while Run.started:
        Run.started.pop().kill()


@pytest.fixture(scope="session")
def whole(finished) -> dict[str, dict]:
    """What an uninterrupted run leaves behind."""
    return lineage_rows(finished.store.root)


@pytest.fixture
def seed(record_property) -> int:
    value = int(os.environ.get("NOMAD_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    record_property("NOMAD_CRASH_SEED", value)
    return value


def new_home(folder: Path) -> tuple[Path, Path]:
    """(home, profile): an instance of its own, with the smoke profile."""
    folder.mkdir()
    shutil.copy(ROOT / "dagster.yaml", folder)
    return folder, write_profile(folder, max_length=CHECKPOINTS)


def wait_for_checkpoint(store: Path, run: Run, seconds: float = 120) -> None:
    """Until the teacher of 8/unmasked is in training."""
    deadline = time.monotonic() + seconds
    while not list(store.glob(".staging/teacher_model/8/unmasked/*/scratch/**/*.safetensors")):
        assert run.process.poll() is None and time.monotonic() < deadline, run.messages
        time.sleep(0.05)


# Two processes.


def test_two_runs_at_once_publish_everything_once(tmp_path: Path, whole) -> None:
    """On a home that neither has opened before."""
    home, profile = new_home(tmp_path / "home")
    store = home / "lake" / profile.stem
    with Reader(store) as reader:
        runs = [Run(home, profile, "--cell", "8/unmasked", "--until", "student_scores") for _ in range(2)]
        codes = [run.wait(400) for run in runs]
    assert codes == [0, 0], "\n".join(run.messages for run in runs)
    assert reader.torn == [] and left_in_staging(store) == []
    found = lineage_rows(store)
    assert {name.rpartition("/")[0] for name in found} == MADE_FOR_SCORES
    assert differences({name: whole[name] for name in found if name in whole}, found) == []


def test_a_run_goes_on_when_the_one_it_waited_for_is_killed(tmp_path: Path) -> None:
    """A killed process leaves the accelerator taken in Dagster's books."""
    home, profile = new_home(tmp_path / "home")
    store = home / "lake" / profile.stem
    write_profile(home, epochs=ENDLESS)
    first = Run(home, profile, *TEACHER)
    wait_for_checkpoint(store, first)
    write_profile(home, max_length=CHECKPOINTS)
    second = Run(home, profile, "--cell", "8/masked", "--until", "teacher_model")
    second.wait_begun()
    time.sleep(5)
    assert second.process.poll() is None and not versions(store / "teacher_model")
    first.kill()
    assert second.wait(120) == 0, second.messages
    assert [torn(version) for version in versions(store)] == [None] * 4


# The disk.


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """`mount` with these arguments on the folder named last; skips where that is not permitted."""
    places = []

    def mount(*arguments: str) -> None:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"NOT TESTED: `mount {' '.join(arguments)}` is not permitted here: {done.stderr.strip()}")
        if not any("remount" in argument for argument in arguments):
            places.append(arguments[-1])

    if shutil.which("mount") is None:
        pytest.skip("NOT TESTED: there is no `mount` here")
    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_ends_in_a_clear_error_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, mounted, whole
) -> None:
    home, profile = new_home(tmp_path / "home")
    (home / "lake").mkdir()
    store = home / "lake" / profile.stem
    mounted("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(home / "lake"))
    published: dict[str, dict] = {}
    for kibibytes in (300, 1800, 64_000):
        mounted("-o", f"remount,size={kibibytes}k", str(home / "lake"))
        run = Run(home, profile, *TEACHER)
        code, said = run.wait(), " ".join(run.messages.split())
        assert [problem for version in versions(store) if (problem := torn(version))] == []
        found = lineage_rows(store)
        assert differences(published, {name: found.get(name) for name in published}) == []
        published = found
        if kibibytes < 64_000:
            assert code == 1 and "Traceback" not in said, said
            assert f"could not write to {store}: No space left on device; make room and run again" in said
    assert code == 0, said
    assert differences({name: whole[name] for name in published}, published) == []
    assert "teacher_model/8/unmasked/v1" in published and left_in_staging(store) == []


@pytest.mark.parametrize("how", ["mounted read-only", "not permitted"])
def test_a_store_that_cannot_be_written_ends_in_a_clear_error(tmp_path: Path, request, how: str) -> None:
    home, profile = new_home(tmp_path / "home")
    lake, store = home / "lake", home / "lake" / profile.stem
    assert (run := Run(home, profile, "--until", "seed_subset")).wait() == 0, run.messages
    before = everything(lake)
    prefix, reason = (), "Read-only file system"
    if how == "mounted read-only":
        mount = request.getfixturevalue("mounted")
        mount("--bind", str(lake), str(lake))
        mount("-o", "remount,bind,ro", str(lake))
    else:
        prefix, reason = unprivileged(), "Permission denied"
        for folder in (lake, *(p for p in lake.rglob("*") if p.is_dir())):
            folder.chmod(0o555)
    run = Run(home, profile, *TEACHER, prefix=prefix)
    code, said = run.wait(), " ".join(run.messages.split())
    asked = subprocess.run(
        [*prefix, sys.executable, "-m", "nomad_assets.cli", "lineage", "sql", "-p", str(profile), "--json", ARTIFACTS],
        cwd=home, env={**os.environ, "NOMAD_HOME": str(lake)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for folder in (lake, *lake.rglob("*")) if how == "not permitted" else ():
        folder.chmod(0o755)
    assert code == 1 and "Traceback" not in said, said
    assert f"could not write to {store}: {reason}; make it writable and run again" in said
    assert everything(lake) == before
    assert asked.stdout == '{"n":3}\n', asked.stderr  # who may only read can ask all the same


def unprivileged() -> tuple[str, ...]:
    """What starts a process to which permissions apply, also when we are root."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode != 0:
        pytest.skip("NOT TESTED: root cannot give up its rights here (setpriv)")
    return prefix


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize("what", ["the store", ".staging", "what the step has written"])
def test_a_store_deleted_under_a_running_step_ends_in_a_clear_error(tmp_path: Path, what: str) -> None:
    home, profile = new_home(tmp_path / "home")
    write_profile(home, epochs=ENDLESS)
    store = home / "lake" / profile.stem
    (beside := home / "lake/other/seed_examples/v000001/manifest.json").parent.mkdir(parents=True)
    beside.write_text("another profile's")
    run = Run(home, profile, *TEACHER)
    wait_for_checkpoint(store, run)
    before = lineage_rows(store)
    places = {"the store": store, ".staging": store / ".staging"}
    # What is seen while a folder is being removed: files in it are gone, and it is there.
    remove(places.get(what) or next(store.glob(".staging/teacher_model/8/unmasked/*/scratch/checkpoints")))
    code, said = run.wait(60), " ".join(run.messages.split())
    assert code == 1 and "Traceback" not in said and said.count("failed teacher_model [8/unmasked]") == 1, said
    assert f"its folder in {store} was removed while the step was running; run again" in said
    assert lineage_rows(store) == ({} if what == "the store" else before)
    assert [problem for version in versions(store) if (problem := torn(version))] == []
    assert beside.read_text() == "another profile's"


def remove(folder: Path) -> None:
    """As `rm -rf`, again when a file appeared in the meantime."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


# The clock.


def test_a_clock_that_steps_back_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = enter_home(tmp_path, monkeypatch)
    profile, real, offset = str(write_profile(home)), time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    class StepBack(Listener):
        def progressed(self, attempt, *_: object) -> None:
            offset[0] = -3600.0 if attempt.step.name == "teacher_model" else offset[0]

    def order(force: bool) -> Order:
        return Order(["8/unmasked"], "teacher_model", force)

    def quiet(text: str) -> None:
        return None

    assert run_grid(profile, order(False), quiet, [StepBack()]) == [] and offset == [-3600.0]
    assert run_grid(profile, order(True), quiet) == []
    store, place = LocalStore(home / "lake/own"), ("teacher_model", Cell(8, "unmasked"))
    first, second = (artifact.manifest for artifact in store.versions(*place))
    assert (first.version, second.version) == (1, 2) and store.current(*place).manifest == second
    assert first.ended >= first.started > second.started and second.ended >= second.started
    assert 0 < first.seconds < 600


def test_a_live_process_keeps_its_run_when_the_clock_moves_and_a_dead_one_loses_it(
    dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with instances.instance() as dagster:
            tags = {instances.HOST: instances.platform.node(), instances.PROCESS: instances._process(process.pid)}
            run = create_run_for_test(dagster, tags=tags, status=dg.DagsterRunStatus.STARTED)
            with monkeypatch.context() as patch:
                born = psutil.Process.create_time
                patch.setattr(psutil.Process, "create_time", lambda self: born(self) - 3600)
                patch.setattr(time, "time", lambda: 0.0)
                instances.close_dead_runs(dagster)
                assert dagster.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
            process.kill()
            while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            instances.close_dead_runs(dagster)  # nobody has waited for it: it is still in the process table
            assert dagster.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    finally:
        process.kill()
        process.wait()


# Being asked to stop.


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_ends_within_seconds_and_can_be_continued(tmp_path: Path, asked: int) -> None:
    home, profile = new_home(tmp_path / "home")
    write_profile(home, epochs=ENDLESS)
    store = home / "lake" / profile.stem
    run = Run(home, profile, *TEACHER)
    wait_for_checkpoint(store, run)
    run.process.send_signal(asked)
    code, said = run.wait(20), " ".join(run.messages.split())
    assert code == 128 + asked and "Traceback" not in said, said
    assert "stopped; run again to go on" in said
    assert len(versions(store)) == 3 and not versions(store / "teacher_model")


# The real model.


@pytest.mark.heavy
@pytest.mark.timeout(5400)
def test_quickstart_killed_three_times_ends_in_the_same_report(tmp_path: Path, seed: int, capsys) -> None:
    stores, draw = [], random.Random(seed)
    for name, kills in (("uninterrupted", []), ("killed", sorted(draw.uniform(5, 480) for _ in range(3)))):
        (home := tmp_path / name).mkdir()
        shutil.copy(ROOT / "dagster.yaml", home)
        stores.append(home / "lake" / "quickstart")
        worked = 0.0
        for moment in [*kills, None]:
            run = Run(home, Path("quickstart"))
            try:
                run.wait_begun()
                run.process.wait(None if moment is None else moment - worked)
            except subprocess.TimeoutExpired:
                worked = moment
            run.kill()
            ended = "ended" if moment is None else f"killed after {moment:.1f} s"
            with capsys.disabled():
                print(f"\n  NOMAD_CRASH_SEED={seed} {name}: {ended}, {len(versions(stores[-1]))} published")
            assert run.process.returncode == (0 if moment is None else -signal.SIGKILL), run.messages
    expected, found = (lineage_rows(store) for store in stores)
    assert [line for line in differences(expected, found) if " metrics: " not in line] == []
    for version in versions(stores[0]):
        for table in version.glob("*.parquet"):
            other = stores[1] / table.relative_to(stores[0])
            assert pl.read_parquet(table).equals(pl.read_parquet(other)), table
