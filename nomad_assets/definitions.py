"""Definitions of one or several grids; `defs` is what workspace.yaml loads."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nomad_assets.engine.listeners import Listener
from nomad_assets.grid import Grid
from nomad_assets.opening import with_handed_seeds
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.store.home import store_of
from nomad_assets.store.protocol import Store
from nomad_assets.wiring.assets import assets
from nomad_assets.wiring.automation import automations
from nomad_assets.wiring.checks import asset_checks, checks_job
from nomad_assets.wiring.jobs import jobs
from nomad_assets.wiring.lineage import lineage_asset
from nomad_assets.wiring.listeners import listeners_of
from nomad_assets.wiring.names import Names
from nomad_assets.wiring.work import Work


def build_definitions(
    profile: Profile | str | Path,
    *,
    key_prefix: Sequence[str] | str | None = None,
    store: Store | None = None,
    seeds_from: str | None = None,
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """Assets, checks, jobs and automation of one profile, for `Definitions.merge` with others.

    `profile`: one that is loaded, a name that ships, or a path. `key_prefix` (default: the profile's name) stands before
    every key and name. `store`: where artifacts lie, by default as `NOMAD_HOME` says. `seeds_from`: the key of an asset of
    your own, without partitions, that yields the seed table in place of the profile's sources.
    Steps of one run of the grid's jobs share a process, unless the profile's `isolate_steps` or an `executor` says
    otherwise; assets that are launched without a job run as the code location's own executor says.
    Raises NomadError when the profile cannot be loaded.
    """
    return definitions_of(
        work_of(profile, key_prefix=key_prefix, store=store, seeds_from=seeds_from, executor=executor)
    )


def work_of(
    profile: Profile | str | Path,
    *,
    key_prefix: Sequence[str] | str | None = None,
    store: Store | None = None,
    seeds_from: str | None = None,
    executor: dg.ExecutorDefinition | None = None,
    listeners: Sequence[Listener] = (),
) -> Work:
    """What the definitions of a grid are made from; `listeners` are told beside those that the profile names."""
    loaded = profile if isinstance(profile, Profile) else load_profile(str(profile))
    found = store or store_of(loaded.name)
    if seeds_from is not None:
        loaded = with_handed_seeds(loaded, found, seeds_from)
    grid = Grid(loaded)
    told = [*listeners, *listeners_of(loaded, grid.graph, found)]
    return Work(grid, found, Names.of(loaded.name, key_prefix), told, executor or executor_of(loaded), seeds_from)


def definitions_of(work: Work) -> dg.Definitions:
    sensors, schedules = automations(work)
    return dg.Definitions(
        assets=[*assets(work), lineage_asset(work)],
        asset_checks=asset_checks(work),
        jobs=[*jobs(work), checks_job(work)],
        sensors=sensors,
        schedules=schedules,
    )


def executor_of(profile: Profile) -> dg.ExecutorDefinition:
    return dg.multiprocess_executor if profile.isolate_steps else dg.in_process_executor


@dg.definitions
def defs() -> dg.Definitions:
    profile = load_profile()
    # Backfills of assets run without a job, in the code location's executor.
    return dg.Definitions.merge(build_definitions(profile), dg.Definitions(executor=executor_of(profile)))
