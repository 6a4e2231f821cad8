"""What a config says of things outside the store: what identifies their content, and where they lie on this machine."""

from pathlib import Path
from typing import Self

from pydantic import JsonValue

from nomad_assets import plugins
from nomad_assets.plugins import Plugin
from nomad_assets.profile.fields import Operational, Whole
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import Source
from nomad_assets.recipe.data.sources import Rows, read_source, source_name
from nomad_assets.recipe.models.base_models import BUILT_IN, source_version
from nomad_assets.store.digests import source_digest


class Located(Operational):
    plugin: Plugin
    """Where its code lies on this machine."""


class ExternalPlugin(Located):
    """A plug-in: what it is called and what its source is."""

    identity: dict[str, str]

    @classmethod
    def of(cls, plugin: Plugin) -> Self:
        return cls(plugin=plugin, identity=plugin.identity)


class OnThisMachine(Operational):
    address: str
    """Where it lies: an absolute path, or the name that it has everywhere."""


class ExternalRows(OnThisMachine):
    """Rows of a source, by the sha256 of a local one or of a plug-in's code."""

    path: str
    where: dict[str, list[str | Whole | bool]]
    limit: int | None
    options: dict[str, JsonValue]
    content: str | None
    name: str
    """What its rows are said to come from: the last parts of the address."""

    @classmethod
    def of(cls, profile: Profile, source: Source, key: str) -> Self:
        """`key` is the profile's key of the source."""
        address = profile.resolve(source.path)
        if plugins.is_plugin(source.path):
            content = plugins.locate_source(source.path, profile.folder, f"{key}.path").digest
        else:
            content = source_digest(Path(address)) if Path(address).exists() else None
        return cls(
            address=address, path=source.path, where=source.where, limit=source.limit, options=source.options, content=content,
            name=source_name(address),
        )  # fmt: skip

    def read(self, withdrawn: dict[str, dict] | None = None, cluster: str | None = None) -> Rows:
        return read_source(self.address, self.where, self.limit, withdrawn, self.options, cluster)


class ExternalModel(OnThisMachine):
    """A model source. A folder is identified by names, sizes and times: reading 16 GB to learn that nothing changed is too
    slow, and a changed time costs only this one step, since its content digest then stays the same."""

    source: str
    content: list[tuple[str, int, int]] | str | None

    @classmethod
    def of(cls, profile: Profile, source: str) -> Self:
        address = source if source in BUILT_IN else profile.resolve(source)
        path, content = Path(address), None
        if source in BUILT_IN:
            content = source_version(source)
        elif path.is_dir():
            content = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir() if p.is_file())
        return cls(address=address, source=source, content=content)


class ExternalTemplate(OnThisMachine):
    """A chat template: `chatml`, or a Jinja file by its sha256."""

    template: str
    content: str | None

    @classmethod
    def of(cls, profile: Profile, template: str | None) -> Self | None:
        if template is None:
            return None
        if template == "chatml":
            return cls(address=template, template=template, content=None)
        path = Path(profile.resolve(template))
        return cls(address=str(path), template=template, content=source_digest(path) if path.is_file() else None)
