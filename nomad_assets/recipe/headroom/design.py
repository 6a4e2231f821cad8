"""Which small models are trained, and on which rows.

Worked example: a pool of 400 rows, sizes left out, wrong = [0.25, 0.5]. Each replicate trains five models in as many optimizer
steps as each other: on 100, 200 and 400 rows, and on the 400 with 100 and with 200 answers that belong to another row. The
untouched base (0 rows) has no luck of seeds or training in it and is scored once.

The 400 rows of which 100 are wrong are also 200 gold rows with 200 more of which half are right. So a model of them against
the model of 200 gold rows tells what 200 synthetic rows of that precision would be worth, if they were wrong in this way.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.profile.headroom_settings import HeadroomDesign
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.data.seed_pool import reordered, take_subset
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.recipe.training.trainer import rows_per_step

if TYPE_CHECKING:
    import polars as pl

FEWEST_ROWS = 8
"""A pool below this has no quarter that is worth a training run."""

Example = tuple[str, str, str]  # id, prompt, response


@dataclass(frozen=True)
class Model:
    """One model to be trained and scored."""

    replicate: int
    rows: int
    """Gold rows; 0 is the untouched base."""
    wrong: float = 0.0
    """Share of them with the answer of another row."""

    @property
    def name(self) -> str:
        return f"{self.replicate}-{self.rows}-{self.wrong:g}"


def sizes_of(settings: HeadroomDesign, pool: int) -> list[int]:
    """Numbers of gold rows, ascending: those of the settings, or none, a quarter, a half and all of the pool.

    Raises NomadError when the pool has too few rows.
    """
    if settings.sizes is not None:
        largest = settings.sizes[-1]
        if largest > pool:
            raise NomadError(
                f"headroom.sizes: {largest} is larger than the seed pool of {pool} rows; use at most {pool}"
            )
        return settings.sizes
    if pool < FEWEST_ROWS:
        raise NomadError(
            f"the seed pool has {pool} rows, and a curve takes at least {FEWEST_ROWS}; give more seed rows"
        )
    return [0, pool // 4, pool // 2, pool]


def models_of(settings: HeadroomDesign, pool: int) -> list[Model]:
    """The untouched base where it is asked for, then the models of each replicate."""
    sizes = sizes_of(settings, pool)
    found = [Model(0, 0)] if sizes[0] == 0 else []
    for replicate in range(settings.replicates):
        found += [Model(replicate, size) for size in sizes if size]
        found += [Model(replicate, sizes[-1], share) for share in settings.wrong]
    return found


def steps_of(settings: HeadroomDesign, student: Training, rows: int) -> int:
    """Optimizer steps of every model: the setting, or the student's steps, or its passes over the largest size."""
    passes = math.ceil(student.epochs * rows / rows_per_step(student))
    return settings.steps or student.steps or max(passes, student.min_steps)


def examples_of(pool: "pl.DataFrame", model: Model, order: int, seed: int) -> list[Example]:
    """What a model is trained on. `order` is the seed of its replicate's order of the pool, 0 for the pool's own; `seed`
    chooses the wrong rows: those of a smaller share are among those of a larger one.

    Raises NomadError when a source has no second answer to swap with.
    """
    rows = take_subset(reordered(pool, order) if order else pool, model.rows, "headroom.sizes")
    examples = list(rows.select("id", "prompt", "response").iter_rows())
    return with_wrong_answers(examples, rows["source"].to_list(), model.wrong, seed) if model.wrong else examples


def with_wrong_answers(examples: list[Example], sources: Sequence[str], share: float, seed: int) -> list[Example]:
    """The rows with `share` of them answered by another row of the same source, whose answer is a different one.

    Raises NomadError when all rows of a source have one answer.
    """
    answers: dict[str, list[str]] = {}
    for (_, _, response), source in zip(examples, sources, strict=True):
        answers.setdefault(source, []).append(response)
    order = random.Random(derive_seed(seed, "wrong rows")).sample(range(len(examples)), len(examples))
    found = list(examples)
    for place in order[: round(share * len(examples))]:
        row_id, prompt, response = examples[place]
        others = [answer for answer in answers[sources[place]] if answer != response]
        if not others:
            raise NomadError(
                f"headroom.wrong: all rows of {sources[place]} have the same answer, so that none can be swapped; set wrong = []"
            )
        found[place] = (row_id, prompt, random.Random(derive_seed(seed, "answer of", row_id)).choice(others))
    return found


def precision_of(wrong: float, rows: int, gold: int) -> float | None:
    """How often the rows behind the first `gold` are right, where `wrong` of all `rows` are wrong and none of those is gold.

    400 rows with a quarter wrong, 200 of them gold: 0.5. None where more are wrong than were added.
    """
    added = rows - gold
    precision = 1 - wrong * rows / added
    return max(0.0, precision) if precision >= -1e-9 else None


def dev_questions(questions: "pl.DataFrame", most: int) -> "pl.DataFrame":
    """The dev questions, of each benchmark at most so many, chosen by a hash of their ids. `questions`: id, benchmark, split."""
    import polars as pl

    dev = questions.filter(split="dev")
    drawn = pl.Series("drawn", [derive_seed("headroom", name, bits=63) for name in dev["id"]], dtype=pl.Int64)
    place = pl.col("drawn").rank("ordinal").over("benchmark")
    return dev.with_columns(drawn).filter(place <= most).drop("drawn")
