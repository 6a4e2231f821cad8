"""Whether synthetic data can help at all, measured with gold rows alone before any teacher is trained."""
