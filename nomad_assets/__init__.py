"""NOMAD as a Dagster asset graph: teachers that write training data, their corpora, students, scores and a report."""

__version__ = "0.1.0"
