"""Loading a profile: one TOML file that drives everything.

`NOMAD_PROFILE` names it: a bare name is one of those that ship in `nomad_assets/profile/shipped/`, anything with a
slash or an ending is a path to the user's own. Without a name it is `nomad.toml` of the current folder, and where there
is none, `quickstart`. Relative paths inside a profile are relative to the profile's file.
"""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from nomad_assets.errors import NomadError, shown
from nomad_assets.names import NAME
from nomad_assets.profile.fields import KIND
from nomad_assets.profile.profile import Profile

PROFILES = Path(__file__).parent / "shipped"
PROJECT_FILE = "nomad.toml"  # a project folder's own profile


def profile_path(name: str) -> Path:
    """The file a profile name stands for. Raises NomadError naming the profiles that ship."""
    path = Path(name) if ("/" in name or name.endswith(".toml")) else PROFILES / f"{name}.toml"
    if not path.is_file():
        ours = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise NomadError(f"profile {shown(name)}: no file {path}; give a path to a TOML file or one of: {ours}")
    return path


def load_profile(name: str | None = None) -> Profile:
    """Load and validate a profile; None takes `NOMAD_PROFILE`, then `nomad.toml` in this folder, then `quickstart`.

    Raises NomadError that names the file, the key, the value and what is accepted.
    """
    own = PROJECT_FILE if Path(PROJECT_FILE).is_file() else "quickstart"
    path = profile_path(name or os.environ.get("NOMAD_PROFILE") or own).resolve()
    data = _read_toml(path)
    if "folder" in data:
        raise NomadError(f"{path}: folder: unknown key")
    try:
        return Profile.model_validate({"name": path.stem, **data, "folder": path.parent})
    except ValidationError as error:
        raise NomadError("\n".join(_sentence(path, problem) for problem in error.errors())) from None


NOT_IN_A_LAUNCH = ("name", "grid")
"""Sections that one run cannot change: they say where artifacts lie and which partitions there are."""


def changed(profile: Profile, settings: dict[str, object], place: str) -> Profile:
    """The profile with some settings changed, given by their dotted keys: {"teacher.learning_rate": 1e-4}.

    Raises NomadError that names `place`, the key, the value and what is accepted.
    """
    data = profile.model_dump()
    for key, value in settings.items():
        *sections, name = key.split(".")
        if (not sections and name not in Profile.model_fields) or (sections or [name])[0] in NOT_IN_A_LAUNCH:
            raise NomadError(
                f"{place}: {shown(key)} cannot be changed in one run; give a key such as teacher.learning_rate"
            )
        inside = data
        for part in sections:
            inside = inside.get(part)
            if not isinstance(inside, dict):
                raise NomadError(f"{place}: {shown(key)}: unknown key; sections: {', '.join(_keys(()))}")
        inside[name] = value
    try:
        return Profile.model_validate({**data, "folder": profile.folder})
    except ValidationError as error:
        raise NomadError("\n".join(_sentence(place, problem) for problem in error.errors())) from None


def _read_toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NomadError(f"{path}: could not be read: {error.strerror}") from error
    except ValueError as error:  # of TOML or UTF-8
        raise NomadError(f"{path}: not a valid TOML file: {error}") from error


def _sentence(path: Path | str, problem: dict) -> str:
    loc = tuple(part for part in problem["loc"] if not str(part).startswith(KIND))
    parts = [str(part) for part in loc]
    key = ".".join(part if NAME.fullmatch(part) else shown(part) for part in parts) or "(profile)"
    if problem["type"] == "extra_forbidden":
        return f"{path}: {key} = {shown(problem['input'])}: unknown key; accepted here: {', '.join(_keys(loc[:-1]))}"
    if problem["type"] == "missing":
        return f"{path}: {key}: missing; this key is required"
    message = problem["msg"].removeprefix("Value error, ")
    if not parts:
        return f"{path}: {message}"
    return f"{path}: {key} = {shown(problem['input'])}: {message}"


def _inside(annotation: object) -> Iterator[object]:
    yield annotation
    for part in get_args(annotation):
        yield from _inside(part)


def _keys(loc: tuple) -> list[str]:
    """Accepted keys of the section at `loc`, found by walking the models' annotations."""
    model: object = Profile
    for part in loc:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is not None:
            model = field.annotation
        sections = [c for c in _inside(model) if isinstance(c, type) and issubclass(c, BaseModel)]
        model = sections[0] if sections else model
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [name for name in model.model_fields if name != "folder"]
    return []
