"""Before the first run: a project to start from, what a seed file holds, what this machine can do."""
