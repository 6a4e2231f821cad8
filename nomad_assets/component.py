"""A grid as a component of any Dagster project.

type: nomad_assets.NomadGrid
attributes:
  profile: mine.toml
  seeds_from: raw_seeds
"""

import importlib
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component
from pydantic import BaseModel, ConfigDict, Field

from nomad_assets.definitions import build_definitions
from nomad_assets.errors import NomadError, shown

EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def find_executor(text: str) -> dg.ExecutorDefinition:
    """`in_process`, `multiprocess`, or an executor definition by its import path, such as dagster_k8s.k8s_job_executor.

    Raises NomadError when there is no such executor.
    """
    if text in EXECUTORS:
        return EXECUTORS[text]
    module, _, name = text.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name) if module else None
    except (ImportError, AttributeError) as error:
        raise NomadError(f"executor = {shown(text)}: {error}") from error
    if not isinstance(found, dg.ExecutorDefinition):
        accepted = f"{', '.join(EXECUTORS)}, or the import path of an executor definition"
        raise NomadError(f"executor = {shown(text)}: no executor; give {accepted}")
    return found


def _executor(context: dg.ResolutionContext, value: Any) -> dg.ExecutorDefinition | None:
    return value if value is None or isinstance(value, dg.ExecutorDefinition) else find_executor(value)


class ScaffoldParams(BaseModel):
    profile: str = Field(
        "quickstart", description="A profile that ships, or a path relative to the component's folder."
    )


class NomadGridScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes defs.yaml with a key prefix of the folder's name, so that a second grid does not collide with the first."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        prefix = "".join(c if c.isascii() and c.isalnum() else "_" for c in request.target_path.name)
        scaffold_component(request, {"profile": request.params.profile, "key_prefix": prefix})


@dg.scaffold_with(NomadGridScaffolder)
class NomadGrid(dg.Component, dg.Model, dg.Resolvable):
    """A grid of teachers, corpora, students and scores, as assets, checks, jobs and automation.

    Its artifacts lie under `NOMAD_HOME`, in a folder of the profile's name: grids of different settings need profiles of
    different names.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    profile: str = Field(
        description="A profile that ships, such as quickstart, or the path of a TOML file, relative to this folder.",
        examples=["quickstart", "mine.toml"],
    )
    key_prefix: str | None = Field(
        None, description="Stands before every key and name; default: the profile's name.", examples=["team/grid"]
    )
    seeds_from: str | None = Field(
        None,
        description="Key of an asset without partitions that yields the seed table, in place of the profile's sources.",
        examples=["raw_seeds"],
    )
    executor: Annotated[
        dg.ExecutorDefinition | None,
        dg.Resolver(
            _executor,
            model_field_type=str | None,
            description="Of the grid's jobs: in_process, multiprocess, or the import path of an executor definition.",
            examples=["multiprocess", "dagster_k8s.k8s_job_executor"],
        ),
    ] = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Raises NomadError when the profile cannot be loaded."""
        return build_definitions(
            _located(self.profile, context.path), key_prefix=self.key_prefix, seeds_from=self.seeds_from,
            executor=self.executor,
        )  # fmt: skip


def _located(profile: str, folder: Path) -> str:
    """A path relative to the component's folder made absolute; the name of a shipped profile as it is."""
    if "/" not in profile and not profile.endswith(".toml"):
        return profile
    return str((folder if folder.is_dir() else folder.parent) / profile)
