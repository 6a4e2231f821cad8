"""The seed table of both grids."""

import dagster as dg
import polars as pl

NAMES = ["Ann", "Ben", "Cem", "Dora", "Eva", "Finn"]
THINGS = ["apples", "pens", "shells", "stamps"]


@dg.asset
def raw_seeds() -> pl.DataFrame:
    """Small sums, one row each, with the columns prompt and response. A real project reads a database here."""
    rows = []
    for first, name in enumerate(NAMES, start=2):
        for second, thing in enumerate(THINGS, start=3):
            prompt = f"{name} has {first} {thing} and finds {second} more. How many {thing} does {name} have now?"
            response = f"{first} + {second} = {first + second}\n#### {first + second}"
            rows.append({"prompt": prompt, "response": response})
    return pl.DataFrame(rows)
