"""`python -m nomad_assets.cli`."""

import sys

from nomad_assets.cli import app

sys.exit(app())
