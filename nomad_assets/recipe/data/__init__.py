"""Rows as they come: sources, the seed pool, what a file holds."""
