"""The split of entities into a seed side and a benchmark side, made before any question is written.

Every list of entities comes best known first. It is cut into blocks of nine, and two of each block, drawn at random, go
to the benchmark: both sides get well-known and obscure entities. A city is on the side of its country or US state.
"""

import random
from dataclasses import dataclass

from builder.chemistry import Element, load_elements
from builder.geography import City, Country, State, load_countries, load_states
from builder.languages import Language, load_languages

BLOCK = 9
BENCHMARK_PER_BLOCK = 2


@dataclass(frozen=True)
class Side:
    """The entities that one file may ask about."""

    name: str
    countries: tuple[Country, ...]
    states: tuple[State, ...]
    elements: tuple[Element, ...]
    languages: tuple[Language, ...]

    @property
    def country_codes(self) -> frozenset[str]:
        return frozenset(country.code for country in self.countries)

    @property
    def cities(self) -> list[City]:
        return [city for country in self.countries for city in country.cities]


def split_sides(seed: int) -> tuple[Side, Side]:
    """(seed side, benchmark side); no entity is on both."""
    halves = []
    for name, load in (
        ("countries", load_countries),
        ("states", load_states),
        ("elements", load_elements),
        ("languages", load_languages),
    ):
        halves.append(_split(load(), random.Random(f"{seed}:split:{name}")))
    kept, held_out = zip(*halves, strict=True)
    return Side("seed", *map(tuple, kept)), Side("benchmark", *map(tuple, held_out))


def _split(entities: list, rng: random.Random) -> tuple[list, list]:
    kept, held_out = [], []
    for start in range(0, len(entities), BLOCK):
        block = entities[start : start + BLOCK]
        chosen = rng.sample(range(BLOCK), BENCHMARK_PER_BLOCK)
        for position, entity in enumerate(block):
            (held_out if position in chosen else kept).append(entity)
    return kept, held_out
