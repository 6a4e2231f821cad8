"""Questions about words in other languages, as Unicode CLDR has them. Both language and country are on one side."""

import random
from collections import Counter
from collections.abc import Iterator

from babel import Locale

from builder.languages import Language, calendar_words, language_names
from builder.phrasing import ask
from builder.rows import Trivia, ascii_fold, with_variants
from builder.split import Side

COUNTRIES_PER_LANGUAGE = 14


def calendar_forms(side: Side, rng: random.Random, all_languages: tuple[Language, ...]) -> Iterator[Trivia]:
    """Weekdays and months; a word names its language only where no other language used here has it."""
    words = Counter(
        ascii_fold(word).casefold() for language in all_languages for word in {*language.weekdays, *language.months}
    )
    _, english_weekdays, english_months = calendar_words(Locale("en"))
    for language in side.languages:
        level = min(4, language.tier + 1)
        for form, own, english in (
            ("weekday_in", language.weekdays, english_weekdays),
            ("month_in", language.months, english_months),
        ):
            for word, meaning in zip(own, english, strict=True):
                plain = ascii_fold(word).casefold()
                if plain == meaning.casefold():
                    continue
                yield Trivia(form, ask(form, rng, meaning, language.name), with_variants([word]), level)
                if words[plain] == 1:
                    answers = language_names(language.code)
                    question = ask("language_of_word", rng, word, meaning)
                    yield Trivia("language_of_word", question, answers, language.tier)


def naming_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Names of languages and countries in other languages."""
    for language in side.languages:
        names = language_names(language.code)
        endonym = language.locale.languages.get(language.code)
        if endonym and language.name.casefold()[:5] != endonym.casefold()[:5]:
            question = ask("language_of_endonym", rng, endonym)
            yield Trivia("language_of_endonym", question, names, language.tier)
        level = min(4, language.tier + 1)
        if language.code != "nb":
            question = ask("language_code_of", rng, language.name)
            yield Trivia("language_code_of", question, (language.code,), level)
        if language.tier > 2:
            continue
        known = [country for country in side.countries if country.tier == 1]
        for country in rng.sample(known, min(COUNTRIES_PER_LANGUAGE, len(known))):
            name = language.locale.territories.get(country.code)
            english = {variant.casefold() for variant in country.names}
            if name and not any(variant.casefold() in english for variant in with_variants([name])):
                question = ask("country_in", rng, country.in_sentence, language.name)
                yield Trivia("country_in", question, with_variants([name]), min(4, language.tier + 1))
