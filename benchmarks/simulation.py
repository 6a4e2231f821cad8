"""How often a verdict on two recipes is wrong: worlds without a difference, and with the smallest one that can be shown.

python benchmarks/simulation.py [--worlds 2000]

Prints Markdown tables. `t` is `crossed_difference`, `questions alone` the bootstrap over questions that leaves runs out
(`stratified_bootstrap`, on a quarter of the worlds). With 3 replicates no verdict is given: there it is how often the
interval misses the truth. A share of N worlds has a standard error of √(p (1 − p) / N): 0.5 points at 5% and 2,000.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from nomad_assets.recipe.evaluation.crossed import crossed_difference
from nomad_assets.recipe.evaluation.power import EXACT_MATCH, Variances, planned_error, smallest_effect
from nomad_assets.recipe.evaluation.sequential import decide, looks
from nomad_assets.recipe.evaluation.statistics import stratified_bootstrap
from nomad_assets_tests.recipe.evaluation.worlds import World, worlds

REPLICATES, QUESTIONS, KINDS = (3, 5, 8, 12), (40, 80, 250, 1000), ("exact match", "log-probability")
RESAMPLES = 500
POWER_TABLE = ((40, 5), (250, 8), (500, 8), (1000, 12))
START, MOST = 5, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=2000)
    count = parser.parse_args().worlds
    print_no_difference(count)
    print_same_recipe(count)
    print_power(count)
    print_looks(count)


def print_no_difference(count: int) -> None:
    print_head("no true difference, nominal 5%", "clusters", "questions")
    for kind in KINDS:
        for clustered in (False, True):
            for questions in QUESTIONS:
                cells = [_wrong(World(kind, r, questions, clustered), count) for r in REPLICATES]
                print_row(kind, "of about 10" if clustered else "none", questions, cells)


def print_same_recipe(count: int) -> None:
    print_head("a recipe against itself, nominal 5%", "run SD", "questions")
    for kind, spreads in zip(KINDS, ((0.0, 0.03, 0.05), (0.0, 0.018)), strict=True):
        for run in spreads:
            for questions in (80, 1000):
                cells = [_wrong(World(kind, r, questions, run=run, same=True), count) for r in REPLICATES]
                print_row(kind, run, questions, cells)


def print_head(title: str, *columns: str) -> None:
    columns = (title, *columns, *(f"{r} replicates: t / questions alone" for r in REPLICATES))
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")


def print_row(kind: str, setting: object, questions: int, cells: list[tuple[float, float]]) -> None:
    shown = [f"{t:.1%} / {old:.1%}" for t, old in cells]
    print(f"| {kind} | {setting} | {questions:,} | " + " | ".join(shown) + " |", flush=True)


def print_power(count: int) -> None:
    print("\n| questions, replicates | run SD | smallest effect, p < .01, 90% power | shown in | wrong side |")
    print("|---|---|---|---|---|")
    for questions, replicates in POWER_TABLE:
        for run in (0.03, 0.05):
            sizes = Variances(EXACT_MATCH.question, run, EXACT_MATCH.residual)
            effect = smallest_effect(questions, None, replicates, sizes)
            found = [_normal_world(questions, replicates, sizes, effect, seed) for seed in range(count)]
            results = [crossed_difference(values, confidence=0.99) for values in found]
            shown = np.mean([result.verdict == "higher" for result in results])
            wrong = np.mean([result.verdict == "lower" for result in results])
            print(f"| {questions:,}, {replicates} | {run} | {effect * 100:.1f} points | {shown:.1%} | {wrong:.1%} |")


def print_looks(count: int) -> None:
    questions, sizes = 250, EXACT_MATCH
    error, _ = planned_error(questions, None, MOST, sizes)
    shared = sizes.question**2 / questions / error**2
    plans = {"by replicates": looks(START, MOST), f"shared = {shared:.2f}": looks(START, MOST, shared=shared)}
    effect = smallest_effect(questions, None, MOST, sizes, alpha=0.05)
    print(f"\n| looks after {START} to {MOST} replicates, {questions} questions | true difference | p < .05 at any look "
          "| p below its level | shown where futility stops too | stopped as futile | replicates, mean |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, plan in plans.items():
        for true in (0.0, effect):
            seen = [_looked_at(_normal_world(questions, MOST, sizes, true, seed), plan) for seed in range(count)]
            naive, binding, ends, used = zip(*seen, strict=True)
            shown = np.mean([end in ("stop: higher", "stop: lower") for end in ends])
            futile = np.mean([end == "stop: futile" for end in ends])
            print(f"| {name} | {true * 100:.1f} points | {np.mean(naive):.1%} | {np.mean(binding):.1%} "
                  f"| {shown:.1%} | {futile:.1%} | {np.mean(used):.1f} |", flush=True)  # fmt: skip


def _looked_at(values: np.ndarray, plan: tuple) -> tuple[bool, bool, str, int]:
    """Whether any look has p < .05; any has p below its level; how it ends when futility stops it too; when."""
    naive = crossing = False
    end, used = "", 0
    for look in plan:
        found = crossed_difference(values[: look.replicates])
        naive |= found.p < 0.05
        crossing |= found.p < look.level
        if not end or end == "go on":
            end, used = decide(found.mean, found.p, look.replicates, plan), look.replicates
    return naive, crossing, end, used


def _wrong(world: World, count: int) -> tuple[float, float]:
    seed = sum(world.kind.encode()) + 31 * world.replicates + 7 * world.questions + 3 * world.clustered
    by_t, by_questions = [], []
    for number, (values, clusters) in enumerate(worlds(world, count, seed)):
        found = crossed_difference(values, clusters=clusters)
        by_t.append(found.low > 0 or found.high < 0)
        if number % 4 == 0:
            old = stratified_bootstrap([values.mean(axis=0)], resamples=RESAMPLES, seed=number)
            by_questions.append(old.verdict != "no difference shown")
    return float(np.mean(by_t)), float(np.mean(by_questions))


def _normal_world(questions: int, replicates: int, sizes: Variances, effect: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = effect + generator.normal(0, sizes.run, (replicates, 1)) + generator.normal(0, sizes.question, questions)
    return values + generator.normal(0, sizes.residual, (replicates, questions))


if __name__ == "__main__":
    main()
