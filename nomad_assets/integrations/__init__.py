"""What leaves the project: exports for other tools and a hub, runs for MLflow, events for OpenLineage."""
