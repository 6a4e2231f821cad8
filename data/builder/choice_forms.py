"""Questions that name the possible answers: comparisons with a clear gap, and picking one of three.

The gap is wide enough for the difference in date and method between sources not to matter.
"""

import random
from collections.abc import Iterator
from itertools import combinations
from operator import attrgetter

from builder.editorial import NO_CONTINENT
from builder.geography import CONTINENTS, Country
from builder.phrasing import ask
from builder.rows import Trivia
from builder.split import Side

WIDE, CLEAR, SMALLEST = 8.0, 3.0, 1.7
CITY_WIDE, CITY_CLEAR = 10.0, 5.0
NORTH_WIDE, NORTH_CLEAR = 25.0, 10.0


def comparison_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Population and area of countries, population and latitude of cities, weight of atoms."""
    yield from _country_comparisons(side, rng)
    yield from _city_comparisons(side, rng)
    yield from _element_comparisons(side, rng)


def _country_comparisons(side: Side, rng: random.Random) -> Iterator[Trivia]:
    countries = [country for country in side.countries if country.tier <= 2]
    pairs = [tuple(rng.sample(pair, 2)) for pair in combinations(countries, 2)]
    for form, size in (("more_people", attrgetter("population")), ("larger_area", attrgetter("area_km2"))):
        for x, y in pairs:
            ratio = _ratio(size(x), size(y))
            level = _gap_level(ratio, x.tier + y.tier == 2)
            if level:
                winner = x if size(x) > size(y) else y
                yield Trivia(form, ask(form, rng, x.in_sentence, y.in_sentence), winner.names, level)


def _city_comparisons(side: Side, rng: random.Random) -> Iterator[Trivia]:
    cities = [city for city in side.cities if city.difficulty <= 2]
    for first, second in combinations(cities, 2):
        x, y = rng.sample((first, second), 2)
        ratio = _ratio(x.population, y.population)
        if ratio >= CITY_CLEAR:
            level = 1 if ratio >= CITY_WIDE and x.difficulty == y.difficulty == 1 else 2
            winner = x if x.population > y.population else y
            yield Trivia("bigger_city", ask("bigger_city", rng, x.name, y.name), (winner.name,), level)
        gap = abs(x.latitude - y.latitude)
        if gap >= NORTH_CLEAR:
            level = (1 if gap >= NORTH_WIDE else 2) + (0 if x.difficulty == y.difficulty == 1 else 1)
            winner = x if x.latitude > y.latitude else y
            yield Trivia("further_north", ask("further_north", rng, x.name, y.name), (winner.name,), level)


def _element_comparisons(side: Side, rng: random.Random) -> Iterator[Trivia]:
    for first, second in combinations([element for element in side.elements if element.tier <= 3], 2):
        x, y = rng.sample((first, second), 2)
        level = _gap_level(_ratio(x.weight, y.weight), x.tier + y.tier == 2, widest=4.0)
        if level:
            winner = x if x.weight > y.weight else y
            yield Trivia("heavier_atom", ask("heavier_atom", rng, x.in_sentence, y.in_sentence), winner.names, level)


def picking_forms(side: Side, rng: random.Random, no_border: frozenset[str]) -> Iterator[Trivia]:
    """One of three countries in a continent, and one of three that borders another."""
    placed = [country for country in side.countries if country.code not in NO_CONTINENT and country.tier <= 3]
    for country in placed:
        others = [other for other in placed if other.continent != country.continent and other.tier <= country.tier]
        question = ask("country_in_continent", rng, CONTINENTS[country.continent][0], _three(country, others, rng))
        yield Trivia("country_in_continent", question, country.names, country.tier)
    firm = {country.code: country for country in placed if country.code not in no_border}
    for country in firm.values():
        neighbours = [firm[code] for code in country.neighbours if code in firm]
        far = [other for other in firm.values() if other.code != country.code]
        far = [other for other in far if other.code not in country.neighbours and other.tier <= country.tier]
        if neighbours and len(far) >= 2:
            answer = rng.choice(neighbours)
            question = ask("which_borders", rng, country.in_sentence, _three(answer, far, rng))
            yield Trivia("which_borders", question, answer.names, min(4, max(country.tier, answer.tier) + 1))


def _three(answer: Country, others: list[Country], rng: random.Random) -> str:
    options = [answer, *rng.sample(others, 2)]
    rng.shuffle(options)
    first, second, third = (country.in_sentence for country in options)
    return f"{first}, {second} or {third}"


def _gap_level(ratio: float, both_known: bool, widest: float = WIDE) -> int | None:
    if ratio < SMALLEST:
        return None
    level = 1 if ratio >= widest else 2 if ratio >= CLEAR else 3
    return level if both_known else min(3, level + 1)


def _ratio(x: float, y: float) -> float:
    return max(x, y) / min(x, y)
