"""A/A: two arms with the same settings and other randomness, which should come out as "no difference" as often as they say.

python benchmarks/same_settings.py [--replicates 12] [--splits 500]

Trains that many replicates of one arm of the tiny random model for real (profile `smoke`, one train size), and splits them at
random in two arms of half as many replicates each. Every split is compared as the report compares two arms. Splits share
replicates, so their number is no number of experiments; a rate far from 5% is a fault all the same.
"""

import argparse
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl

SIZE, ARM = 8, "unmasked"


def scores(replicates: int, folder: str) -> pl.DataFrame:
    """replicate, benchmark, question_id, cluster, value: log-probabilities of the right answers to the test questions. A random model
    is right on hardly any, so shares would all be equal."""
    os.environ["NOMAD_HOME"] = folder
    from nomad_assets import api
    from nomad_assets.cells import Cell
    from nomad_assets.profile.load import PROFILES
    from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY
    from nomad_assets.steps.benchmarks import BenchmarkQuestions
    from nomad_assets.steps.scores import QuestionResults

    profile = Path(folder) / "same.toml"
    wanted = f"train_sizes = [{SIZE}]\nprompt_loss = {{ {ARM} = 1.0 }}\nreplicates = {replicates}"
    shipped = (PROFILES / "smoke.toml").read_text(encoding="utf-8")
    profile.write_text(shipped.replace("train_sizes = [8, 16]", wanted), encoding="utf-8")
    grid = api.load(profile)
    grid.run(until="student_scores", say=None)
    asked = grid._store.require("benchmark_questions", Cell()).read(
        grid._grid.graph["benchmark_questions"].file_of(BenchmarkQuestions)
    )
    test = asked.filter(split="test").select(pl.col("id").alias("question_id"), "benchmark", "cluster")
    file = grid._grid.graph["student_scores"].file_of(QuestionResults)
    found = [
        grid._store.require("student_scores", Cell(SIZE, ARM, r)).read(file).with_columns(replicate=pl.lit(r))
        for r in range(replicates)
    ]
    return pl.concat(found).filter(metric=LOG_PROBABILITY).join(test, on=["benchmark", "question_id"])


def verdicts(table: pl.DataFrame, replicates: int, splits: int) -> Counter:
    from nomad_assets.recipe.evaluation.crossed import crossed

    wide = table.pivot("replicate", index=["benchmark", "question_id", "cluster"], values="value", maintain_order=True)
    values = wide.select(pl.exclude("benchmark", "question_id", "cluster")).to_numpy().T
    clusters, strata = wide["cluster"].to_list(), wide["benchmark"].to_list()
    draw, found = random.Random(0), Counter()
    for _ in range(splits):
        order = draw.sample(range(replicates), replicates)
        half = replicates // 2
        found[crossed(values[order[:half]] - values[order[half : 2 * half]], clusters, strata).verdict] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=12)
    parser.add_argument("--splits", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = verdicts(scores(arguments.replicates, folder), arguments.replicates, arguments.splits)
    print("| verdict | share of the splits |\n|---|---|")
    for verdict, count in found.most_common():
        print(f"| {verdict} | {count / arguments.splits:.1%} |")


if __name__ == "__main__":
    main()
