"""Judging rows: rules, near repeats, contamination, relevance and novelty."""
