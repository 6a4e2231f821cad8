"""NOMAD as a Dagster asset graph: teachers that write training data, their corpora, students, scores and a report."""

from nomad_assets.recipe.threads import bound_spinning

__version__ = "0.1.0"

bound_spinning()  # before anything here imports torch, which reads it
