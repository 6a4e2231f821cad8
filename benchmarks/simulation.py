"""How often a verdict of the report is wrong, and what it can see: simulated worlds whose truth is known.

python benchmarks/simulation.py [--worlds 2000]

At a true difference of 0, the share of worlds in which a nominal 5% test (crossed.py) says that there is one, beside what a
bootstrap over questions alone says of the same worlds; how often 95% intervals hold the truth; and, at true differences, how
often it is seen. Binomial noise of 2,000 worlds: 4.1% to 6.0% for a true 5%.
"""

import argparse
import dataclasses

import numpy as np
from worlds import World

from nomad_assets.recipe.evaluation.crossed import crossed
from nomad_assets.recipe.evaluation.sequential import Look, looks
from nomad_assets.recipe.evaluation.statistics import stratified_bootstrap

RESAMPLES = 300
SHAPES = [(replicates, questions) for replicates in (3, 5, 8, 12) for questions in (40, 80, 250, 1000)]


def verdicts(world: World, worlds: int, seed: int) -> tuple[float, float, float]:
    """(share with p < 0.05, share of intervals that hold the truth, share in which questions alone show a difference)."""
    random = np.random.default_rng(seed)
    names, one = [str(cluster) for cluster in world.clusters], ["all"] * world.questions
    found, held, questions_alone = 0, 0, 0
    for number in range(worlds):
        d = world.draw(random)
        result = crossed(d, names, one)
        found += result.p < 0.05
        held += result.low <= world.difference <= result.high
        if number < worlds // 4:
            old = stratified_bootstrap([d.mean(axis=0)], resamples=RESAMPLES, seed=number)
            questions_alone += old.verdict != "no difference shown"
    return found / worlds, held / worlds, questions_alone / max(worlds // 4, 1)


def looked_at(world: World, plan: tuple[Look, ...], worlds: int, seed: int) -> tuple[float, float, float]:
    """(share in which a look shows a difference, share that ends as futile, mean replicates that were made)."""
    random = np.random.default_rng(seed)
    shown, futile, made = 0, 0, 0
    for _ in range(worlds):
        decision, look = world.ended(random, plan)
        shown += decision in ("stop: higher", "stop: lower")
        futile += decision == "stop: futile"
        made += look.replicates
    return shown / worlds, futile / worlds, made / worlds


KINDS = {
    "right or wrong": {}, "right or wrong, 10 a template": {"per_cluster": 10},
    "log-probability": {"flips": 0.0}, "log-probability, 10 a template": {"flips": 0.0, "per_cluster": 10},
}  # fmt: skip


def table_of_looks(worlds: int) -> None:
    print("| replicates = { start = 5, most = 12 } | questions | true difference | shown | futile | replicates made |")
    print("|---|---|---|---|---|---|")
    plan = looks(5, 12)
    for kind, settings in KINDS.items():
        for questions in (80, 250):
            for size in (0.0, 0.10):
                world = dataclasses.replace(World(12, questions, **settings), difference=size)
                shown, futile, made = looked_at(world, plan, worlds, questions)
                print(
                    f"| {kind} | {questions} | {100 * size:.0f} points | {shown:.1%} | {futile:.1%} | {made:.1f} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--looks", action="store_true", help="only the table of looks while replicates are made")
    arguments = parser.parse_args()
    worlds = arguments.worlds
    if arguments.looks:
        table_of_looks(worlds)
        return
    print(
        "| true difference 0 | replicates | questions | wrong at 5% | 95% interval holds 0 | questions alone: wrong |"
    )
    print("|---|---|---|---|---|---|")
    for kind, settings in KINDS.items():
        for number, (replicates, questions) in enumerate(SHAPES):
            world = World(replicates, questions, **settings)
            wrong, held, old = verdicts(world, worlds, number)
            print(f"| {kind} | {replicates} | {questions} | {wrong:.1%} | {held:.1%} | {old:.1%} |", flush=True)
    print(
        "\n| seen at p < 0.05 | replicates | questions | 5 points | 10 points | 20 points |\n|---|---|---|---|---|---|"
    )
    for number, (replicates, questions) in enumerate(SHAPES):
        cells = [
            verdicts(dataclasses.replace(World(replicates, questions), difference=size), worlds // 4, number)[0]
            for size in (0.05, 0.10, 0.20)
        ]
        print(
            f"| right or wrong | {replicates} | {questions} | {' | '.join(f'{cell:.0%}' for cell in cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
