"""Kept rows lie in a band of relevance (NormSim), cut from the rows that no rule dropped. Evidence: the band's bounds."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from nomad_assets.profile.fields import Section, Share
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Stage, Verdict

if TYPE_CHECKING:
    import numpy as np


class RelevanceBand(Rule):
    stage, order = Stage.SELECTION, 80
    reasons: ClassVar[dict[str, str]] = {"outside_band": "its relevance (NormSim) lies outside the kept band"}

    class Settings(Section):
        norm: Literal["2", "inf"] = "2"
        """p of the NormSim_p that the band is cut from."""
        band: Literal["none", "low", "middle", "high"] = "middle"
        """Part of the rows, ordered by NormSim, that is kept."""
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
            bounds = {"none": (0, rows - 1), "low": (0, low), "middle": (low, high), "high": (high, rows - 1)}[
                self.band
            ]
            return math.floor(bounds[1]) - math.ceil(bounds[0]) + 1

    def __init__(self, settings: Settings, rows: CorpusRows):
        super().__init__(settings, rows)
        self.values = rows.scores["normsim_inf" if settings.norm == "inf" else "normsim_2"]
        self.low, self.high = band_bounds(self.values[rows.undecided], settings)

    def verdict(self, row: int) -> Verdict | None:
        value = float(self.values[row])
        if self.low <= value <= self.high:
            return None
        return Verdict("outside_band", f"{self.low:.4f} to {self.high:.4f}", value)


def band_bounds(values: "np.ndarray", settings: RelevanceBand.Settings) -> tuple[float, float]:
    """Smallest and largest NormSim inside the band, from the quantiles of `values` (the rows that passed all rules)."""
    import numpy as np

    if settings.band == "none" or len(values) == 0:
        return 0.0, 1.0
    low, high = np.quantile(values, settings.band_quantiles)
    return {"low": (0.0, float(low)), "middle": (float(low), float(high)), "high": (float(high), 1.0)}[settings.band]


RULE = RelevanceBand
