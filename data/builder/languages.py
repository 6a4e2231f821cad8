"""Names of languages, weekdays and months, read from Unicode CLDR (babel)."""

from dataclasses import dataclass

from babel import Locale

from builder import editorial
from builder.rows import with_variants

ENGLISH = Locale("en")


@dataclass(frozen=True)
class Language:
    """A language written in Latin script, as CLDR has it."""

    code: str
    name: str
    tier: int
    locale: Locale
    weekdays: tuple[str, ...]
    months: tuple[str, ...]


def language_names(code: str) -> tuple[str, ...]:
    """English names of a language, the usual one first."""
    usual = editorial.LANGUAGE_NAMES.get(code) or ENGLISH.languages[code]
    return with_variants([usual, *editorial.LANGUAGE_ALIASES.get(code, [])])


def load_languages() -> list[Language]:
    """Languages in Latin script, the best known first."""
    return [
        Language(code, language_names(code)[0], tier, *calendar_words(Locale(code)))
        for tier, codes in editorial.LANGUAGE_TIERS.items()
        for code in codes
    ]


def calendar_words(locale: Locale) -> tuple[Locale, tuple[str, ...], tuple[str, ...]]:
    """The locale, its weekdays from Monday and its months, in the form that stands alone.

    babel 2.18.0 lets the names of some locales (Swahili is one) leak into locales that are loaded later, through the
    data they share. The words are compared with those used inside a date, which do not leak.

    Raises:
        ValueError: a word does not begin like the one used inside a date.
    """
    words = []
    for names, keys in ((locale.days, range(7)), (locale.months, range(1, 13))):
        alone = tuple(names["stand-alone"]["wide"][key] for key in keys)
        inside = tuple(names["format"]["wide"][key] for key in keys)
        for word, dated in zip(alone, inside, strict=True):
            if word[:2].casefold() != dated.removeprefix("de ").removeprefix("d’")[:2].casefold():
                raise ValueError(f"{locale}: {word!r} is not a form of {dated!r}; another locale's names have leaked")
        words.append(alone)
    return locale, words[0], words[1]
