"""Which questions choices are made on (dev), and which the report compares on (test).

Worked example: ten questions of five templates and dev = 0.25. Clusters are taken in the order of a hash of their names, where
they still fit into a quarter of the questions: one template, two questions. A cluster is never cut: a choice made on one question
of a template has seen the others.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.seeding import derive_seed

if TYPE_CHECKING:
    import polars as pl

FEWEST_CLUSTERS = 2


def with_splits(questions: "pl.DataFrame", shares: Mapping[str, float]) -> "pl.DataFrame":
    """A table with `benchmark` and `cluster`, with the column `split`: dev or test. `shares` are by benchmark."""
    import polars as pl

    counts = questions.group_by("benchmark", "cluster", maintain_order=True).len()
    rows = []
    for (name,), clusters in counts.group_by("benchmark", maintain_order=True):
        dev = dev_clusters(dict(clusters.select("cluster", "len").iter_rows()), shares.get(name, 0.0), name)
        rows += [(name, cluster, "dev" if cluster in dev else "test") for cluster in clusters["cluster"]]
    splits = pl.DataFrame(rows, schema={"benchmark": str, "cluster": str, "split": str}, orient="row")
    return questions.join(splits, on=["benchmark", "cluster"], how="left", maintain_order="left")


def dev_clusters(questions: Mapping[str, int], share: float, benchmark: str) -> set[str]:
    """The clusters of a benchmark that choices are made on. `questions` counts those of each cluster.

    At least one cluster is dev where `share` is above 0, the smallest where none fits; at least one is test.
    Raises NomadError when there are too few clusters for both.
    """
    if share == 0:
        return set()
    if len(questions) < FEWEST_CLUSTERS:
        raise NomadError(
            f"benchmarks.{benchmark}.dev = {share:g}: all its questions are one cluster, so that nothing is left to compare on; "
            "set dev = 0 or give other questions"
        )
    most, chosen, taken, ordered = share * sum(questions.values()), set(), 0, order(list(questions))
    for name in ordered:
        if taken + questions[name] <= most:
            chosen.add(name)
            taken += questions[name]
    return chosen or {min(ordered, key=questions.__getitem__)}


def order(names: Sequence[str]) -> list[str]:
    """By a hash of the name, so that a cluster that is added moves no other across."""
    return sorted(names, key=lambda name: derive_seed("dev", name, bits=63))
