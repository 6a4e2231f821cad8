"""Kept rows lie in a band of relevance (NormSim), cut from the rows that no rule dropped. Evidence: the band's bounds."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from nomad_assets.profile.fields import Section, Share
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Stage, Verdict
from nomad_assets.recipe.seeding import derive_seed

if TYPE_CHECKING:
    import numpy as np


STRATUM = 12


class RelevanceBand(Rule):
    stage, order = Stage.SELECTION, 80
    reasons: ClassVar[dict[str, str]] = {"outside_band": "its relevance (NormSim) lies outside the kept band"}

    class Settings(Section):
        norm: Literal["2", "inf"] = "2"
        """p of the NormSim_p that the band is cut from."""
        band: Literal["none", "low", "middle", "high", "random"] = "middle"
        """Part of the rows, ordered by NormSim, that is kept; `random` takes as many rows as the middle has, and as many of
        each length, whatever their NormSim."""
        band_quantiles: Annotated[tuple[Share, Share], Field(strict=False)] = (1 / 3, 2 / 3)
        """Where the middle band starts and ends."""

        @field_validator("band_quantiles")
        @classmethod
        def ordered(cls, quantiles: tuple[float, float]) -> tuple[float, float]:
            if quantiles[0] >= quantiles[1]:
                raise ValueError("the first quantile must be below the second")
            return quantiles

        def most_kept(self, rows: int) -> int:
            """How many of so many rows, all unlike, lie in the band."""
            low, high = (quantile * (rows - 1) for quantile in self.band_quantiles)
            bounds = {"none": (0, rows - 1), "low": (0, low), "high": (high, rows - 1)}.get(self.band, (low, high))
            return math.floor(bounds[1]) - math.ceil(bounds[0]) + 1

    def __init__(self, settings: Settings, rows: CorpusRows):
        super().__init__(settings, rows)
        self.values = rows.scores["normsim_inf" if settings.norm == "inf" else "normsim_2"]
        self.low, self.high = band_bounds(self.values[rows.undecided], settings)
        self.drawn = matched(rows, self.values, self.low, self.high) if settings.band == "random" else None

    def verdict(self, row: int) -> Verdict | None:
        value = float(self.values[row])
        if self.drawn is not None:
            return None if row in self.drawn else Verdict("outside_band", "not drawn", value)
        if self.low <= value <= self.high:
            return None
        return Verdict("outside_band", f"{self.low:.4f} to {self.high:.4f}", value)


def band_bounds(values: "np.ndarray", settings: RelevanceBand.Settings) -> tuple[float, float]:
    """Smallest and largest NormSim inside the band, from the quantiles of `values` (the rows that passed all rules)."""
    import numpy as np

    if settings.band == "none" or len(values) == 0:
        return 0.0, 1.0
    low, high = map(float, np.quantile(values, settings.band_quantiles))
    return {"low": (0.0, low), "high": (high, 1.0)}.get(settings.band, (low, high))


def matched(rows: CorpusRows, values: "np.ndarray", low: float, high: float) -> set[int]:
    """As many of the rows that no rule dropped as lie between the bounds, and as many of each length.

    Rows of like length (prompt and response, in tokens) stand in strata of STRATUM; which of a stratum are taken hangs on a hash
    of their text alone, so that it is no choice of anybody's.
    """
    import numpy as np

    passed = np.flatnonzero(rows.undecided).tolist()
    lengths = [p + r for p, r in zip(rows.column("prompt_tokens"), rows.column("response_tokens"), strict=True)]
    passed.sort(key=lambda row: (lengths[row], row))
    found: set[int] = set()
    for start in range(0, len(passed), STRATUM):
        stratum = passed[start : start + STRATUM]
        wanted = sum(low <= float(values[row]) <= high for row in stratum)
        drawn = sorted(stratum, key=lambda row: derive_seed(rows.column("prompt")[row], rows.column("response")[row]))
        found.update(drawn[:wanted])
    return found


RULE = RelevanceBand
