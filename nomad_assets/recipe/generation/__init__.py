"""Writing corpora: engines and synthesis."""
