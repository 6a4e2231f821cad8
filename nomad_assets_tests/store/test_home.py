"""Which folder a profile's store is."""

from pathlib import Path

import pytest

from nomad_assets.store.home import store_of


def test_one_store_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "home"))
    assert store_of("smoke").name == str(tmp_path / "home" / "smoke")
    monkeypatch.delenv("NOMAD_HOME")
    monkeypatch.chdir(tmp_path)
    assert store_of("smoke").name == str(tmp_path / "data" / "lake" / "smoke")
