"""Everything that Dagster loads."""
