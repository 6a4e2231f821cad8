"""What the sections of a profile are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_COUNT = 2**31 - 1

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Operational(Section):
    """Settings that cannot change what a step makes, only how it is made or what is said of it.

    A section may inherit some of its keys from a subclass of this: no fingerprint ever contains those keys.
    """
