from pathlib import Path

import pytest

from nomad_assets_tests.steps.profile_files import ProfileFiles


@pytest.fixture
def files(tmp_path: Path) -> ProfileFiles:
    return ProfileFiles(tmp_path)
