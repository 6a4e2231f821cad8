"""Signs of error in rows that curation kept, whether or not the profile switches the rules on that find them.

    "6 + 3 = 9 apples. 9 - 4 = 6 left."    wrong_arithmetic, "9 - 4 = 6"

A rule finds only what it looks for, so the share of rows without a sign is an upper bound on the share of right ones, as far
as the rules accuse no right row: benchmarks/README.md ("Verifiers") has what each was measured to keep and to drop.
"""

from typing import TYPE_CHECKING

from nomad_assets.recipe.curation import rules
from nomad_assets.recipe.curation.rule import CorpusRows, Rule, Verdict

if TYPE_CHECKING:
    import polars as pl


def switches() -> dict[str, type[Rule]]:
    """The rules that look for errors, by the key of `[curation]` that switches each on. Raises TypeError when one has no
    such key, or several."""
    found = {}
    for name, rule in rules.all_rules().items():
        if rule.looks_for_errors:
            keys = [key for key, field in rule.Settings.model_fields.items() if field.annotation is bool]
            if len(keys) != 1:
                raise TypeError(f"rule {name}: it looks for errors and has {len(keys)} switches ({keys}), not one")
            found[keys[0]] = rule
    return found


def signs_of_error(rows: "pl.DataFrame") -> list[Verdict | None]:
    """What the first of the rules that objects says of each row; None where none does. `rows`: prompt, response."""
    import numpy as np
    import polars as pl

    nothing = pl.DataFrame(schema={"id": str, "prompt": str})
    corpus, found = CorpusRows(rows, nothing, [], {}), [None] * rows.height
    for key, make in switches().items():
        rule = make(make.Settings(**{key: True}), corpus)
        suspects = rule.suspects()
        for row in range(rows.height) if suspects is None else np.flatnonzero(suspects).tolist():
            found[row] = found[row] or rule.verdict(row)
    return found
