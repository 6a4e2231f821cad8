"""The report: comparisons, a recommendation, and the pages they are written up in."""
