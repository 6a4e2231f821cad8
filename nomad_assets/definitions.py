"""The only Definitions object; what workspace.yaml loads."""

import dagster as dg

from nomad_assets.assets.automation import automations
from nomad_assets.assets.corpora import corpus_assets
from nomad_assets.assets.gates import asset_checks, checks_job
from nomad_assets.assets.inputs import input_assets
from nomad_assets.assets.lineage import lineage_asset
from nomad_assets.assets.models import model_assets
from nomad_assets.assets.project import Project
from nomad_assets.assets.report import report_assets
from nomad_assets.assets.scores import score_assets
from nomad_assets.jobs import build_jobs
from nomad_assets.profile.load import load_profile


def build_definitions(project: Project) -> dg.Definitions:
    """Assets, checks and jobs of one profile."""
    families = (input_assets, model_assets, corpus_assets, score_assets, report_assets)
    assets = [asset for family in families for asset in family(project)]
    sensors, schedules = automations(project.profile)
    return dg.Definitions(
        assets=[*assets, lineage_asset(project)],
        asset_checks=asset_checks(project),
        jobs=[*build_jobs(), checks_job(project)],
        sensors=sensors,
        schedules=schedules,
    )


@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(Project(load_profile()))
