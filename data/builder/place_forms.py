"""Questions about cities and US states."""

import random
from collections.abc import Iterator

from builder.editorial import NO_CONTINENT
from builder.geography import CONTINENTS
from builder.languages import language_names
from builder.phrasing import ask
from builder.rows import Trivia
from builder.split import Side


def city_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Country, continent, language and currency of a city."""
    for country in side.countries:
        for city in country.cities:
            level = city.difficulty
            if not city.is_capital and city.name not in country.name:
                yield Trivia("country_of_city", ask("country_of_city", rng, city.name), country.names, level)
            if country.code not in NO_CONTINENT:
                easier = max(1, level - 1)
                answers = CONTINENTS[city.continent]
                yield Trivia("continent_of_city", ask("continent_of_city", rng, city.name), answers, easier)
            if country.language and level <= 3:
                answers = language_names(country.language)
                question = ask("language_of_city", rng, city.name)
                yield Trivia("language_of_city", question, answers, min(4, level + (0 if city.is_capital else 1)))
            if country.currency and city.is_capital:
                question = ask("currency_of_city", rng, city.name)
                yield Trivia("currency_of_city", question, country.currency, min(4, level + 1))


def state_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Cities and postal abbreviations of the states of the United States."""
    for state in side.states:
        for rank, city in enumerate(state.cities):
            if city.name.startswith(state.name):
                continue
            level = 1 if city.difficulty == 1 else min(3, state.tier + (0 if rank == 0 else 1))
            yield Trivia("state_of_city", ask("state_of_city", rng, city.name), (state.name,), level)
        level = 2 if state.code == state.name[:2].upper() else 3
        yield Trivia("abbreviation_of_state", ask("abbreviation_of_state", rng, state.name), (state.code,), level)
        yield Trivia("state_of_abbreviation", ask("state_of_abbreviation", rng, state.code), (state.name,), level)
