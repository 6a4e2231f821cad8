"""Automation: off until it is switched on; a changed seed file flows through the grid; new cells alone are made."""

import itertools
from collections import Counter
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from nomad_assets.assets.automation import automations, watched_files
from nomad_assets.assets.project import Project
from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError
from nomad_assets.profile import load_profile
from nomad_assets_tests.test_graph import write_profile


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(load_profile(str(write_profile(tmp_path))))


def evaluated(
    definitions: dg.Definitions, instance: dg.DagsterInstance, cursor
) -> tuple[set[tuple[str, str | None]], object]:
    """(asset, partition) pairs that the conditions ask for, and the cursor for the next time."""
    result = dg.evaluate_automation_conditions(defs=definitions, instance=instance, cursor=cursor)
    asked = set()
    for found in result.results:
        keys = result.get_requested_partitions(found.key)
        asked |= {(found.key.to_user_string(), key if key is None else str(key)) for key in keys}
    return asked, result.cursor


def flow(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor) -> list[list[tuple[str, str | None]]]:
    """What is asked for and made, round after round, until nothing more is: Dagster waits for other partitionings."""
    done: list[list[tuple[str, str | None]]] = []
    for _ in range(10):
        asked, cursor = evaluated(definitions, instance, cursor)
        if not asked:
            return done
        # The report takes a second and the cells take minutes: it is there before they are.
        quick = {entry for entry in asked if entry[1] is None}
        for asset, _ in quick:
            made(instance, asset, None)
        more, cursor = evaluated(definitions, instance, cursor)
        assert not more, more
        for asset, partition in sorted(asked - quick, key=str):
            made(instance, asset, partition)
        done.append(sorted(asked, key=str))
    raise AssertionError(f"it goes on without end: {done[-20:]}")


def made(instance: dg.DagsterInstance, asset: str, *partitions: str | None) -> None:
    for partition in partitions:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))


def test_everything_is_off_by_default(project: Project) -> None:
    definitions = build_definitions(project)
    repository = definitions.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == {"follow_changes", "seed_files_changed"}
    assert all(s.default_status == dg.DefaultSensorStatus.STOPPED for s in repository.sensor_defs)
    assert [s.default_status for s in repository.schedule_defs] == [dg.DefaultScheduleStatus.STOPPED]


def test_a_new_pool_asks_for_what_reads_it(project: Project) -> None:
    definitions = build_definitions(project)
    with dg.instance_for_test() as instance:
        made(instance, "seed_examples", None)
        made(instance, "benchmark_questions", None)
        made(instance, "base_model", None)
        for asset in ("seed_subset", "control_model", "control_scores"):
            made(instance, asset, "8", "16")
        _, cursor = evaluated(definitions, instance, None)
        made(instance, "seed_examples", None)
        rounds = flow(definitions, instance, cursor)
        asked = list(itertools.chain(*rounds))
        assert {("seed_subset", "8"), ("seed_subset", "16")} <= set(asked)
        assert ("student_scores", "unmasked|8") in asked and rounds[-1] == [("recipe_report", None)]
        assert not any(asset in ("benchmark_questions", "base_model") for asset, _ in asked)
        made_often = [entry for entry, count in Counter(asked).items() if count > 1 and entry[1] is not None]
        assert made_often == []


def test_a_size_that_is_added_asks_for_its_own_cells_alone(tmp_path: Path) -> None:
    first = build_definitions(Project(load_profile(str(write_profile(tmp_path)))))
    with dg.instance_for_test() as instance:
        for asset in ("seed_examples", "benchmark_questions", "base_model", "base_scores"):
            made(instance, asset, None)
        for asset in ("seed_subset", "control_model", "control_scores"):
            made(instance, asset, "8", "16")
        for asset in (
            "teacher_model",
            "synthetic_corpus",
            "curated_corpus",
            "corpus_profile",
            "student_model",
            "student_scores",
        ):
            made(instance, asset, *(f"{arm}|{size}" for arm in ("masked", "unmasked") for size in (8, 16)))
        made(instance, "recipe_report", None)
        asked, cursor = evaluated(first, instance, None)
        assert not any(asset != "recipe_report" and asset != "lineage_db" for asset, _ in asked), asked
        grown = write_profile(tmp_path, train_sizes="train_sizes = [8, 12, 16]")
        second = build_definitions(Project(load_profile(str(grown))))
        rounds = flow(second, instance, cursor)
        asked = list(itertools.chain(*rounds))
        cells = [(asset, key) for asset, key in asked if key is not None]
        assert len(cells) == len(set(cells)) == 3 + 2 * 6 and all(key.endswith("12") for _, key in cells), cells
        assert rounds[-1] == [("recipe_report", None)]  # after the cells, over all of them


def test_a_changed_seed_file_runs_the_inputs(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"prompt": "a?", "response": "b"}\n')
    path = write_profile(tmp_path)
    text = path.read_text(encoding="utf-8")
    own = 'sources = [{ path = "seeds.jsonl" }]\n'
    start, end = text.index("sources = ["), text.index("[benchmarks.trivia]")
    path.write_text(text[:start] + own + "\n" + text[end:], encoding="utf-8")
    profile = load_profile(str(path))
    assert str(seeds) in watched_files(profile)
    _, sensor = automations(profile)[0]
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
    project = Project(load_profile(str(path)))
    definitions = build_definitions(project)
    (schedule,) = definitions.get_repository_def().schedule_defs
    assert schedule.cron_schedule == "30 4 * * 1" and schedule.job_name == "checks"
    policy = definitions.get_assets_def("recipe_report").specs_by_key[dg.AssetKey("recipe_report")].freshness_policy
    assert policy.fail_window.to_timedelta() == timedelta(days=2)
    path.write_text(path.read_text(encoding="utf-8").replace("30 4", "99 4"))
    with pytest.raises(NomadError, match=r"automation\.checks_at"):
        build_definitions(Project(load_profile(str(path))))
    path.write_text(path.read_text(encoding="utf-8").replace("99 4 * * 1", "daily"))
    with pytest.raises(NomadError, match="five fields"):
        load_profile(str(path))
