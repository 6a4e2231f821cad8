"""Scoring models on benchmarks, and intervals."""
