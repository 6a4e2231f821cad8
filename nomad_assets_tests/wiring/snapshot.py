"""Everything that Dagster sees of the smoke grid, as a text to read and to compare.

python -m nomad_assets_tests.wiring.snapshot     writes it anew
"""

from pathlib import Path

import dagster as dg
import tomlkit

from nomad_assets.definitions import definitions_of, work_of
from nomad_assets.store.local import LocalStore
from nomad_assets.wiring.checks import known_checks
from nomad_assets.wiring.work import Work

SNAPSHOT = Path(__file__).with_suffix(".toml")


def smoke(store: Path) -> Work:
    return work_of("smoke", store=LocalStore(store))


def snapshot(work: Work) -> str:
    definitions = definitions_of(work)
    graph = definitions.resolve_asset_graph()
    text = tomlkit.document()
    text.add(tomlkit.comment("Written by python -m nomad_assets_tests.wiring.snapshot"))
    assets = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    severities = {
        (work.names.key(asset).to_user_string(), check.name): check.severity
        for asset, checks in known_checks(work).items()
        for check in checks
    }
    for name in sorted(assets):
        text.add(name, _asset(assets[name], graph, severities))
    for job in sorted(definitions.resolve_all_job_defs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            text.add(job.name, _job(job))
    repository = definitions.get_repository_def()
    text.add("sensors", _automations(repository.sensor_defs))
    text.add("schedules", _automations(repository.schedule_defs))
    return tomlkit.dumps(text)


def _asset(node, graph, severities: dict[tuple[str, str], str]) -> dict:
    name = node.key.to_user_string()
    checks = sorted(key.name for key in graph.asset_check_keys if key.asset_key == node.key)
    for check in checks:
        of_check = graph.get(dg.AssetCheckKey(node.key, check))
        assert of_check.partitions_def == node.partitions_def and of_check.description, (name, check)
    return {
        "from": _lines(sorted(parent.to_user_string() for parent in node.parent_keys)),
        "partitions": keys(node.partitions_def),
        "group": node.group_name,
        "kinds": sorted(node.kinds),
        "pools": sorted(node.pools or ()),
        "tags": [f"{tag}={value}" for tag, value in sorted(node.tags.items()) if not tag.startswith("dagster/kind")],
        "checks": _lines([f"{check} {severities[name, check]}" for check in checks]),
    }


def _lines(items: list[str]) -> list[str]:
    """An array with one item a line."""
    found = tomlkit.array()
    found.extend(items)
    return found.multiline(len(items) > 1)


def _job(job: dg.JobDefinition) -> dict:
    layer = job.asset_layer
    assets = sorted(key.to_user_string() for key in layer.executable_asset_keys) if layer else []
    checked = {key.asset_key.to_user_string() for key in layer.asset_graph.asset_check_keys} if layer else set()
    assert set(assets) <= checked, f"a run of {job.name} records the checks of what it made"
    return {"job": _lines(assets or sorted(node.name for node in job.nodes)), "partitions": keys(job.partitions_def)}


def _automations(found) -> dict[str, str]:
    return {one.name: one.default_status.value for one in sorted(found, key=lambda one: one.name)}


def keys(partitions: dg.PartitionsDefinition | None) -> list[str]:
    return list(partitions.get_partition_keys()) if partitions is not None else []


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(smoke(Path("no-store"))), encoding="utf-8")
