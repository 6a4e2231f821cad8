"""Wiring: each asset reads its inputs, calls one function of the recipe, validates, and publishes."""
