"""What Dagster sees: assets, checks, jobs and automation, all derived from the declared steps."""
