"""Lineage: every manifest and every judged row in one DuckDB file, and the questions that people ask of it."""
