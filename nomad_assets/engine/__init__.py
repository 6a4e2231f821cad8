"""How a step runs, whatever it does: declarations, fingerprints, the runner, checks, listeners. Knows no step."""
