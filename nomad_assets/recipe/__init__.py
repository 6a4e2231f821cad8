"""The science of the recipe in plain Python; nothing here imports dagster."""
