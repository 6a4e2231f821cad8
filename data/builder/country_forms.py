"""Questions about countries. Every function yields all rows of one side; `assemble` samples from them."""

import random
from collections import Counter
from collections.abc import Iterator

from babel import Locale
from babel.core import UnknownLocaleError

from builder.geography import CONTINENTS, Country
from builder.languages import language_names
from builder.phrasing import ask
from builder.rows import Trivia, with_variants
from builder.split import Side

LARGE_POPULATION = 25_000_000


def name_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Capitals, continents, official languages and names in the country's own language."""
    for country in side.countries:
        tier, place = country.tier, country.in_sentence
        if country.capital and country.capital[0] != country.name:
            yield Trivia("capital_of", ask("capital_of", rng, place), country.capital, tier)
            yield Trivia("country_of_capital", ask("country_of_capital", rng, country.capital[0]), country.names, tier)
        if country.continent:
            is_easy = tier == 1 or country.population >= LARGE_POPULATION
            level = 1 if is_easy else {2: 2, 3: 2, 4: 3}[tier]
            yield Trivia("continent_of", ask("continent_of", rng, place), CONTINENTS[country.continent], level)
        if country.language:
            answers = language_names(country.language)
            yield Trivia("language_of", ask("language_of", rng, place), answers, tier)
            endonym = _endonym(country)
            if endonym:
                yield Trivia("endonym_of", ask("endonym_of", rng, endonym), country.names, tier)
        if country.largest_city:
            answers = country.largest_city
            if country.capital and answers[0] in country.capital:
                answers = with_variants([*answers, *country.capital])
            level = min(4, tier + (0 if country.capital and answers[0] in country.capital else 1))
            yield Trivia("largest_city_of", ask("largest_city_of", rng, place), answers, level)


def money_forms(side: Side, rng: random.Random, all_countries: tuple[Country, ...]) -> Iterator[Trivia]:
    """Currencies. A currency names its country only where no other usable country has one of that name."""
    users = Counter(country.currency[0] for country in all_countries if country.currency)
    for country in side.countries:
        if not country.currency:
            continue
        level = min(4, country.tier + 1) if country.currency[0] != "Euro" else max(1, min(3, country.tier))
        yield Trivia("currency_of", ask("currency_of", rng, country.in_sentence), country.currency, level)
        if users[country.currency[0]] == 1:
            currency = country.currency[0].lower()
            level = min(4, country.tier + 1)
            yield Trivia("country_of_currency", ask("country_of_currency", rng, currency), country.names, level)
            question = ask("currency_code_of", rng, country.in_sentence)
            yield Trivia("currency_code_of", question, (country.currency_code,), min(4, country.tier + 2))


def code_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """ISO codes, internet domains and calling codes, both ways."""
    for country in side.countries:
        place, level = country.in_sentence, min(4, country.tier + 1)
        yield Trivia("iso2_of", ask("iso2_of", rng, place), (country.code,), level)
        yield Trivia("iso3_of", ask("iso3_of", rng, place), (country.iso3,), level)
        yield Trivia("country_of_iso2", ask("country_of_iso2", rng, country.code), country.names, level)
        bare = country.tld.removeprefix(".")
        yield Trivia("tld_of", ask("tld_of", rng, place), (country.tld, bare), level)
        yield Trivia("country_of_tld", ask("country_of_tld", rng, country.tld), country.names, level)
        if country.calling_code:
            code = f"+{country.calling_code}"
            level = min(4, country.tier + 2)
            answers = (code, country.calling_code)
            yield Trivia("calling_code_of", ask("calling_code_of", rng, place), answers, level)
            yield Trivia("country_of_calling_code", ask("country_of_calling_code", rng, code), country.names, level)


def border_forms(side: Side, rng: random.Random, no_border: frozenset[str]) -> Iterator[Trivia]:
    """Land borders, where all countries named are on this side of the split and none has a doubtful border."""
    by_code = {country.code: country for country in side.countries if country.code not in no_border}
    for country in by_code.values():
        if len(country.neighbours) == 1 and country.neighbours[0] in by_code:
            answer = by_code[country.neighbours[0]]
            question = ask("only_neighbour_of", rng, country.in_sentence)
            yield Trivia("only_neighbour_of", question, answer.names, min(4, country.tier + 1))
    pairs = [(x, y) for x in by_code.values() for y in by_code.values() if x.code < y.code]
    for x, y in pairs:
        shared = [code for code in x.neighbours if code in y.neighbours]
        if len(shared) == 1 and shared[0] in by_code:
            answer = by_code[shared[0]]
            level = 3 if x.tier == y.tier == answer.tier == 1 else 4
            question = ask("borders_both", rng, x.in_sentence, y.in_sentence)
            yield Trivia("borders_both", question, answer.names, level)


def _endonym(country: Country) -> str | None:
    """The country's name in its only official language, None in other scripts or where it equals the English name."""
    try:
        name = Locale(country.language).territories.get(country.code)
    except UnknownLocaleError:
        return None
    if not name or not with_variants([name])[-1].isascii() or country.language == "en":
        return None
    english = {variant.casefold() for variant in country.names}
    return None if any(variant.casefold() in english for variant in with_variants([name])) else name
