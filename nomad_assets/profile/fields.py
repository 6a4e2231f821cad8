"""What the sections of a profile are made of."""

import functools
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model

KIND = "="
"""What the kinds of a value that may be of several begin with: no part of a key's place."""
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


S = TypeVar("S", bound=Section)


@functools.cache
def optional(section: type[Section]) -> type[Section]:
    """The same keys, none of which has to be given: changes to a section."""
    fields = {}
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            inner = optional(inner)
        kind = Annotated[inner, *field.metadata] if field.metadata else inner
        fields[name] = (kind | None, Field(default=None, description=field.description, exclude_if=_unset))
    return create_model(f"{section.__name__}Changes", __base__=Section, __module__=__name__, **fields)


def _unset(value: object) -> bool:
    return value is None


def given(changes: Section) -> dict:
    """What an `optional` section changes."""
    return {key: value for key, value in changes.model_dump().items() if value != {}}


def merged(section: S, changes: Section | None) -> S:
    """A section with those of its keys changed that the changes name. Raises pydantic's ValidationError when the keys do not
    fit each other."""
    known = type(section).model_fields
    found = {key: value for key, value in given(changes).items() if key in known} if changes is not None else {}
    return type(section).model_validate(_over(section.model_dump(), found)) if found else section


def _over(below: dict, above: dict) -> dict:
    nested = {key: _over(below[key], value) for key, value in above.items() if isinstance(value, dict)}
    return {**below, **above, **nested}
