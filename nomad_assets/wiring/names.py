"""What a grid's assets, jobs and groups are called, so that several grids live in one code location."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from nomad_assets.errors import NomadError, shown

PART = re.compile(r"\w+", re.ASCII)


@dataclass(frozen=True)
class Names:
    """Keys are `<prefix>/<asset>`; jobs, groups, sensors and ops `<prefix>_<name>`, with `__` between parts of a prefix."""

    prefix: tuple[str, ...]

    @classmethod
    def of(cls, profile: str, key_prefix: Sequence[str] | str | None) -> "Names":
        """The profile's name is the prefix unless another one is given, as "team/grid" or ["team", "grid"].

        Raises NomadError when a part cannot be part of a job's name.
        """
        if key_prefix is None:
            return cls((re.sub(r"\W", "_", profile, flags=re.ASCII),))
        parts = tuple(key_prefix.split("/") if isinstance(key_prefix, str) else key_prefix)
        if not parts or not all(PART.fullmatch(part) for part in parts):
            raise NomadError(
                f"key_prefix = {shown(key_prefix)}: use letters, digits and '_', with '/' between the parts"
            )
        return cls(parts)

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([*self.prefix, asset])

    def selection(self, *assets: str) -> dg.AssetSelection:
        return dg.AssetSelection.assets(*(self.key(asset) for asset in assets))

    def of_grid(self, name: str) -> str:
        """The name of a job, group, sensor, schedule or op."""
        return f"{'__'.join(self.prefix)}_{name}"
