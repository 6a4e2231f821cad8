"""What a grid's assets, jobs and groups are called, so that several grids live in one code location."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class Names:
    """Keys are `<prefix>/<asset>`; jobs, groups, sensors and ops `<prefix>_<name>`."""

    prefix: tuple[str, ...]

    @classmethod
    def of(cls, profile: str, key_prefix: Sequence[str] | str | None) -> "Names":
        """The profile's name is the prefix unless another one is given, as "team/grid" or ["team", "grid"]."""
        if key_prefix is None:
            parts = [re.sub(r"\W", "_", profile)]
        else:
            parts = key_prefix.split("/") if isinstance(key_prefix, str) else list(key_prefix)
        return cls(tuple(parts))

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([*self.prefix, asset])

    def selection(self, *assets: str) -> dg.AssetSelection:
        return dg.AssetSelection.assets(*(self.key(asset) for asset in assets))

    def of_grid(self, name: str) -> str:
        """The name of a job, group, sensor, schedule or op."""
        return re.sub(r"\W", "_", "_".join((*self.prefix, name)))
