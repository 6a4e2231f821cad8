"""The steps of the recipe, one module a stage: config, tables, body and checks together.

Modules here are found by themselves: to add an asset, declare it in one of them or in a new one.
"""

import sys

from nomad_assets.engine.graph import discover

GRAPH = discover(sys.modules[__name__])
