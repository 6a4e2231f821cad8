"""Automation: off until it is switched on; a changed seed file flows through the grid; new cells alone are made."""

import itertools
from collections import Counter
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.cells import Over
from nomad_assets.definitions import build_definitions, definitions_of, work_of
from nomad_assets.errors import NomadError
from nomad_assets.profile.load import load_profile
from nomad_assets.steps import GRAPH
from nomad_assets.wiring.automation import automations, watched_files
from nomad_assets.wiring.jobs import LINEAGE
from nomad_assets_tests.smoke_grid import write_profile
from nomad_assets_tests.wiring.dagster_runs import OWN


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder = tmp_path_factory.mktemp("automation")
    return build_definitions(write_profile(folder))


def evaluated(
    definitions: dg.Definitions, instance: dg.DagsterInstance, cursor
) -> tuple[set[tuple[str, str | None]], object]:
    """(asset, partition) pairs that the conditions ask for, and the cursor for the next time."""
    result = dg.evaluate_automation_conditions(defs=definitions, instance=instance, cursor=cursor)
    asked = set()
    for found in result.results:
        keys = result.get_requested_partitions(found.key)
        asked |= {(found.key.path[-1], key if key is None else str(key)) for key in keys}
    return asked, result.cursor


def flow(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor) -> list[list[tuple[str, str | None]]]:
    """What is asked for, round after round, each made before the next look, until nothing more is asked for."""
    done: list[list[tuple[str, str | None]]] = []
    for _ in range(10):
        asked, cursor = evaluated(definitions, instance, cursor)
        if not asked:
            return done
        for asset, partition in sorted(asked, key=str):
            made(instance, asset, partition)
        done.append(sorted(asked, key=str))
    raise AssertionError(f"it goes on without end: {done[-3:]}")


def made(instance: dg.DagsterInstance, asset: str, *partitions: str | None) -> None:
    for partition in partitions:
        instance.report_runless_asset_event(dg.AssetMaterialization(OWN.key(asset), partition=partition))


def test_everything_is_off_by_default(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == {"own_follow_changes", "own_seed_files_changed"}
    assert all(s.default_status == dg.DefaultSensorStatus.STOPPED for s in repository.sensor_defs)
    assert [s.default_status for s in repository.schedule_defs] == [dg.DefaultScheduleStatus.STOPPED]


def over(what: Over) -> list[str]:
    return [step.name for step in GRAPH.values() if step.over is what and not step.asked]


REPORT = "recipe_report"
ONCE = [name for name in over(Over.GRID) if name != REPORT]
BY_SIZE, BY_CELL = [*over(Over.SIZES), *over(Over.CONTROLS)], [*over(Over.CELLS), *over(Over.SELECTIONS)]
CELLS = [f"{arm}|{size}" for arm in ("masked", "unmasked") for size in (8, 16)]


def all_made(instance: dg.DagsterInstance) -> None:
    for asset in ONCE:
        made(instance, asset, None)
    for asset in BY_SIZE:
        made(instance, asset, "8", "16")
    for asset in BY_CELL:
        made(instance, asset, *CELLS)
    made(instance, REPORT, None)
    made(instance, LINEAGE, None)


def test_an_empty_grid_is_filled_once_and_then_reported(definitions: dg.Definitions) -> None:
    with dg.instance_for_test() as instance:
        rounds = flow(definitions, instance, None)
    asked = Counter(itertools.chain(*rounds))
    wanted = {(asset, None) for asset in ONCE} | {(asset, size) for asset in BY_SIZE for size in ("8", "16")}
    wanted |= {(asset, cell) for asset in BY_CELL for cell in CELLS}
    summaries = {(REPORT, None), (LINEAGE, None)}
    assert {entry: count for entry, count in asked.items() if entry not in summaries} == dict.fromkeys(wanted, 1)
    scored = next(number for number, entries in enumerate(rounds) if ("student_scores", CELLS[0]) in entries)
    reported = [number for number, entries in enumerate(rounds) if (REPORT, None) in entries]
    assert min(reported) > scored


def test_nothing_is_asked_for_when_all_is_made(definitions: dg.Definitions) -> None:
    with dg.instance_for_test() as instance:
        all_made(instance)
        assert flow(definitions, instance, None) == []


def test_a_new_pool_asks_for_what_reads_it(definitions: dg.Definitions) -> None:
    with dg.instance_for_test() as instance:
        all_made(instance)
        _, cursor = evaluated(definitions, instance, None)
        made(instance, "seed_examples", None)
        rounds = flow(definitions, instance, cursor)
    asked = Counter(itertools.chain(*rounds))
    assert {("seed_subset", "8"), ("seed_subset", "16")} <= set(asked)
    assert ("student_scores", "unmasked|8") in asked and (REPORT, None) in rounds[-1]
    assert not any(asset in ("benchmark_questions", "base_model", "base_scores") for asset, _ in asked)
    assert [entry for entry, count in asked.items() if count > 1 and entry[1] is not None] == []


def test_a_size_that_is_added_asks_for_its_own_cells_alone(tmp_path: Path) -> None:
    first = build_definitions(write_profile(tmp_path))
    with dg.instance_for_test() as instance:
        all_made(instance)
        asked, cursor = evaluated(first, instance, None)
        assert not asked
        grown = write_profile(tmp_path, train_sizes="train_sizes = [8, 12, 16]")
        second = build_definitions(grown)
        rounds = flow(second, instance, cursor)
    cells = [(asset, key) for asset, key in itertools.chain(*rounds) if key is not None]
    assert len(cells) == len(set(cells)) == 3 + 2 * 6 and all(key.endswith("12") for _, key in cells), cells
    assert (REPORT, None) in rounds[-1]  # after the cells, over all of them


def test_a_changed_seed_file_runs_the_inputs(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"prompt": "a?", "response": "b"}\n')
    path = write_profile(tmp_path)
    text = path.read_text(encoding="utf-8")
    own = 'sources = [{ path = "seeds.jsonl" }]\n'
    start, end = text.index("sources = ["), text.index("[benchmarks.trivia]")
    path.write_text(text[:start] + own + "\n" + text[end:], encoding="utf-8")
    work = work_of(path)
    assert str(seeds) in watched_files(work.grid.profile)
    _, sensor = automations(work)[0]
    with dg.instance_for_test() as instance:
        first = sensor.evaluate_tick(dg.build_sensor_context(instance))
        assert first.run_requests == []
        same = sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=first.cursor))
        assert same.run_requests == []
        seeds.write_text('{"prompt": "a?", "response": "b"}\n{"prompt": "c?", "response": "d"}\n')
        changed = sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=first.cursor))
        assert len(changed.run_requests) == 1 and changed.cursor != first.cursor
        seeds.unlink()
        gone = sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=changed.cursor))
        assert len(gone.run_requests) == 1


def test_the_schedule_and_freshness_are_the_profiles(tmp_path: Path) -> None:
    path = write_profile(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + '\n[automation]\nchecks_at = "30 4 * * 1"\nfresh_days = 2\n')
    definitions = definitions_of(work_of(path))
    (schedule,) = definitions.get_repository_def().schedule_defs
    assert schedule.cron_schedule == "30 4 * * 1" and schedule.job_name == "own_checks"
    policy = definitions.get_assets_def(OWN.key(REPORT)).specs_by_key[OWN.key(REPORT)].freshness_policy
    assert policy.fail_window.to_timedelta() == timedelta(days=2)
    path.write_text(path.read_text(encoding="utf-8").replace("30 4", "99 4"))
    with pytest.raises(NomadError, match=r"automation\.checks_at"):
        build_definitions(path)
    path.write_text(path.read_text(encoding="utf-8").replace("99 4 * * 1", "daily"))
    with pytest.raises(NomadError, match="five fields"):
        load_profile(str(path))
