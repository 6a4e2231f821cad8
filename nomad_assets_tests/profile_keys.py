"""Every key of a profile, found by walking its models, and a profile in which one of them has another value."""

import functools
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel, JsonValue

from nomad_assets.profile.profile import Profile

ANY = "*"  # stands for the name of an entry, or for the number of a row


def keys(model: type[BaseModel] = Profile, prefix: str = "") -> Iterator[str]:
    """Dotted keys, as `curation.keep` and `seeds.sources.*.path`."""
    for name, field in model.model_fields.items():
        if field.exclude is True:
            continue  # no key of the file
        inside, many = _section(field.annotation)
        if inside is None:
            yield f"{prefix}{name}"
        else:
            yield from keys(inside, f"{prefix}{name}.{f'{ANY}.' if many else ''}")


def _section(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """The section that a key holds, if any, and whether it holds several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Annotated, typing.Union, types.UnionType):
        found = [_section(part) for part in inside if part is not type(None)]
        if origin is not typing.Annotated and len(found) > 1:
            return None, False  # a number or a section: one key
        return next((pair for pair in found if pair[0] is not None), (None, False))
    if origin in (list, dict):
        return _section(inside[-1])[0], True
    return None, False


def changed(profile: Profile, key: str, value: JsonValue) -> Profile:
    """The profile with another value at a key; `*` takes the first entry in which the key is set."""
    data = profile.model_dump()
    sections, last = key.split(".")[:-1], key.rpartition(".")[2]
    place = data
    for number, section in enumerate(sections):
        if section == ANY:
            entries = list(place.values() if isinstance(place, dict) else place)
            rest = key.split(".")[number + 1 :]
            place = next(entry for entry in entries if functools.reduce(_inside, rest, entry) is not None)
        else:
            place = place[section]
    assert last in place, key
    place[last] = value
    return Profile.model_validate({**data, "folder": profile.folder})


def _inside(place: object, name: str) -> object:
    if name == ANY and place:
        return next(iter(place.values() if isinstance(place, dict) else place))
    return place.get(name) if isinstance(place, dict) else None
