"""Plug-ins: filters, verifiers, scorers, engines and sources of a user's own, named by the profile.

    python:mine.py:too_short    a function or class in a file; the path is relative to the profile's folder
    too_short                   an entry point of an installed package, in the group of its kind (`nomad_assets.filters`)

`locate` finds one and digests its source without running it: a step's fingerprint holds that digest. `Plugin.load` runs
the code. The scorers, engines and rules that come with this package are found the same way, as modules of a package.
"""

import functools
import hashlib
import importlib
import importlib.util
import json
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from nomad_assets.errors import NomadError, shown

if TYPE_CHECKING:
    from nomad_assets.profile.profile import Profile
    from nomad_assets.profile.sections import Curation

KINDS = ("filters", "verifiers", "scorers", "engines", "sources")
GROUP = "nomad_assets.{}"
IN_A_FILE = re.compile(r"python:(?P<file>.+\.py):(?P<attribute>[^\W\d]\w*)")
INSTALLED = "plugin:"  # in front of an entry point's name where a path is expected
HOW = "python:FILE.py:NAME, or an entry point of the group"


class Home(NamedTuple):
    """Where the built-in ones of a kind are: the modules of a package whose names have an ending, and the name that
    each of them gives its object."""

    package: str
    ending: str
    attribute: str


HOMES = {
    "rules": Home("nomad_assets.recipe.curation.rules", "", "RULE"),
    "scorers": Home("nomad_assets.recipe.evaluation.scorers", "", "SCORER"),
    "engines": Home("nomad_assets.recipe.generation", "_engine", "ENGINE"),
}


def built_in_names(kind: str) -> list[str]:
    """Names of the built-in ones, in alphabetical order, without importing them."""
    if kind not in HOMES:
        return []
    home = HOMES[kind]
    names = (found.name for found in pkgutil.iter_modules(importlib.import_module(home.package).__path__))
    return sorted(name.removesuffix(home.ending) for name in names if name.endswith(home.ending))


def built_in(kind: str, name: str) -> object:
    """The built-in rule, scorer or engine of that name."""
    home = HOMES[kind]
    return getattr(importlib.import_module(f"{home.package}.{name}{home.ending}"), home.attribute)


def checked(kind: str, *others: str) -> Callable[[str], str]:
    """A validator of settings that name one of a kind, built in or not, or one of `others`.

    It says that an entry point is installed, and of a file only that it is named as it should be: the folder of the
    profile is not known here.
    """

    def check(use: str) -> str:
        known = [*others, *built_in_names(kind)]
        if use in known or (IN_A_FILE.fullmatch(use) and "\0" not in use) or _installed(kind, use):
            return use
        names = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}, or " if known else ""
        raise ValueError(f"Input should be {names}{_what_is_right(kind)}")

    return check


def checked_path(path: str) -> str:
    """A validator of a source's path, which may name a plug-in as `python:FILE.py:NAME` or `plugin:NAME`."""
    if path.startswith("python:") and not IN_A_FILE.fullmatch(path):
        raise ValueError(f"Input should be a path, an address, or {_what_is_right('sources')} as {INSTALLED}NAME")
    if path.startswith(INSTALLED):
        checked("sources")(path.removeprefix(INSTALLED))
    return path


def is_plugin(path: str) -> bool:
    """Whether a source's path names a plug-in."""
    return path.startswith(("python:", INSTALLED))


def resolved(use: str, folder: Path) -> str:
    """The same plug-in with the path of its file made absolute."""
    match = IN_A_FILE.fullmatch(use)
    return f"python:{(folder / match['file']).absolute()}:{match['attribute']}" if match else use


def name_of(use: str) -> str:
    """The name that a plug-in goes by: that of its function or class, or of its entry point."""
    match = IN_A_FILE.fullmatch(use)
    return match["attribute"] if match else use


@dataclass(frozen=True)
class Plugin:
    """One plug-in as it lies on disk now. `key` is the key of the profile that names it, `identity` what a fingerprint
    has to contain: the name and the digest of its source."""

    kind: str
    use: str
    key: str
    identity: dict[str, str]
    file: Path
    attribute: str
    module: str | None
    """The module to import; None for a file beside the profile."""

    @property
    def digest(self) -> str:
        """sha256 (hex) of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def fault(self, what: str, cases: list[dict] | None = None) -> NomadError:
        """An error that names the key, the plug-in and what is wrong with it."""
        return NomadError(f"{self.key} = {shown(self.use)}: {what}", cases=cases)

    def raised(self, error: BaseException, where: str, cases: list[dict] | None = None) -> NomadError:
        """The error of code that raised one."""
        return self.fault(f"it raised {type(error).__name__}: {error} ({where})", cases)

    def load(self) -> object:
        """Import the code and give the function or class. Raises NomadError when it cannot be imported, has nothing of
        that name, or is not what was digested."""
        try:
            module = self._imported()
        except NomadError:
            raise
        except (Exception, SystemExit) as error:
            raise self.raised(error, f"while {self.file} was imported") from error
        try:
            return functools.reduce(getattr, self.attribute.split("."), module)
        except AttributeError:
            raise self.fault(
                f"{self.file} has no {self.attribute!r}; it has {', '.join(_public(module)) or 'none'}"
            ) from None

    def _imported(self) -> ModuleType:
        sha256 = self.identity["sha256"]
        if self.module is None:
            return _execute(self, self.file.read_bytes(), sha256)
        # A process imports a module once: what it runs must be what the fingerprint says.
        if _IMPORTED.setdefault(self.module, sha256) != sha256:
            raise self.fault(f"{self.file} changed after this process had imported it; start the process again")
        return importlib.import_module(self.module)


_IMPORTED: dict[str, str] = {}
"""sha256 of the file of each module of an entry point when it was first loaded."""


def locate(kind: str, use: str, folder: Path, key: str) -> Plugin:
    """The plug-in of that name, not yet imported. `folder` is where relative paths start, `key` what errors name.

    Raises NomadError when there is no such file or entry point.
    """
    if match := IN_A_FILE.fullmatch(use):
        file = (folder / match["file"]).absolute()
        return Plugin(kind, use, key, {"use": use, "sha256": _sha256(file, key, use)}, file, match["attribute"], None)
    try:
        entry = _installed(kind, use)
    except ValueError as error:
        raise NomadError(f"{key} = {shown(use)}: {error}") from None
    if entry is None:
        raise NomadError(f"{key} = {shown(use)}: no such plug-in; give {_what_is_right(kind)}")
    file = _module_file(entry.module)
    if file is None:
        raise NomadError(
            f"{key} = {shown(use)}: {entry.dist.name} {entry.dist.version} names the module {entry.module}, which is "
            "not there; install the package again"
        )
    identity = {
        "use": use, "distribution": entry.dist.name, "version": entry.dist.version, "sha256": _sha256(file, key, use),
    }  # fmt: skip
    return Plugin(kind, use, key, identity, file, entry.attr, entry.module)


def locate_rules(curation: "Curation", folder: Path, section: str = "curation") -> list[Plugin]:
    """The filters, then the verifiers that `[curation]` or a selection names, as `curate` wants them."""
    return [
        locate(kind, rule.use, folder, f"{section}.{kind}.{place}.use")
        for kind in ("filters", "verifiers")
        for place, rule in enumerate(getattr(curation, kind))
    ]


def locate_source(path: str, folder: Path, key: str) -> Plugin:
    """The plug-in that a source's path names."""
    return locate("sources", path.removeprefix(INSTALLED), folder, key)


def in_profile(profile: "Profile") -> dict[str, Plugin]:
    """Every plug-in that a profile names, by its key, such as `curation.filters.0.use`."""
    found = [
        rule for key, curation in profile.curations().items() for rule in locate_rules(curation, profile.folder, key)
    ]
    for key, settings in profile.syntheses().items():
        if settings.engine not in ("auto", *built_in_names("engines")):
            found.append(locate("engines", settings.engine, profile.folder, f"{key}.engine"))
    sources = {f"seeds.sources.{place}.path": source for place, source in enumerate(profile.seeds.sources)}
    for name, benchmark in profile.benchmarks.items():
        if benchmark.source is not None:
            sources[f"benchmarks.{name}.source.path"] = benchmark.source
        if benchmark.rule not in built_in_names("scorers"):
            found.append(locate("scorers", benchmark.rule, profile.folder, f"benchmarks.{name}.rule"))
    found += [
        locate_source(source.path, profile.folder, key) for key, source in sources.items() if is_plugin(source.path)
    ]
    return {plugin.key: plugin for plugin in found}


def _what_is_right(kind: str) -> str:
    group = GROUP.format(kind)
    installed = sorted({entry.name for entry in entry_points(group=group)})
    return f"{HOW} {group} ({', '.join(installed) or 'none is installed'})"


@functools.lru_cache(maxsize=1024)
def _found(group: str, name: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group, name=name))


def _installed(kind: str, name: str) -> EntryPoint | None:
    """The entry point of that name. Raises ValueError when several distributions offer one."""
    found = _found(GROUP.format(kind), name, tuple(sys.path))
    if len({(entry.dist.name, entry.value) for entry in found}) > 1:
        offered = ", ".join(sorted(entry.dist.name for entry in found))
        raise ValueError(f"{offered} all offer a plug-in of that name; uninstall all but one")
    return found[0] if found else None


def _module_file(module: str) -> Path | None:
    """The file of a module, found without importing it or the packages around it."""
    spec: ModuleSpec | None = None
    for place in range(module.count(".") + 1):
        name = ".".join(module.split(".")[: place + 1])
        if place == 0:
            spec = importlib.util.find_spec(name)
        elif spec is not None:
            spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None


def _sha256(file: Path, key: str, use: str) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise NomadError(
            f"{key} = {shown(use)}: {file} could not be read: {error.strerror}; give python:FILE.py:NAME with a path "
            "relative to the profile's folder"
        ) from error


def _execute(plugin: Plugin, source: bytes, sha256: str) -> ModuleType:
    """The module of a file, run once for each content. What is run is what was digested."""
    if hashlib.sha256(source).hexdigest() != sha256:
        raise plugin.fault(f"{plugin.file} changed while the step was running; run it again")
    name = f"nomad_plugin_{hashlib.sha256(f'{plugin.file} {sha256}'.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(plugin.file)
        sys.modules[name] = module  # dataclasses and pickle look their module up
        try:
            exec(compile(source, str(plugin.file), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _public(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if not name.startswith("_") and callable(value)]
