"""Questions about chemical elements."""

import random
from collections.abc import Iterator

from builder.phrasing import ask
from builder.rows import Trivia
from builder.split import Side

# From here on a table gives the mass number of one isotope as the atomic weight.
FIRST_WITHOUT_WEIGHT = 84
NO_STABLE_ISOTOPE = (43, 61)


def symbol_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Chemical symbols, both ways."""
    for element in side.elements:
        level = element.tier
        yield Trivia("symbol_of", ask("symbol_of", rng, element.in_sentence), (element.symbol,), level)
        yield Trivia("element_of_symbol", ask("element_of_symbol", rng, element.symbol), element.names, level)


def number_forms(side: Side, rng: random.Random) -> Iterator[Trivia]:
    """Atomic numbers, both ways, the order of the elements, and atomic weights."""
    by_number = {element.number: element for element in side.elements}
    for element in side.elements:
        number, name = element.number, element.in_sentence
        level = 2 if number <= 12 else 3 if number <= 36 or element.tier == 1 else 4
        yield Trivia("atomic_number_of", ask("atomic_number_of", rng, name), (str(number),), level)
        yield Trivia("element_of_number", ask("element_of_number", rng, number), element.names, level)
        level = 3 if number <= 20 else 4
        for form, other in (("next_element", number + 1), ("previous_element", number - 1)):
            if other in by_number:
                yield Trivia(form, ask(form, rng, name), by_number[other].names, level)
        fraction = element.weight % 1
        if number < FIRST_WITHOUT_WEIGHT and number not in NO_STABLE_ISOTOPE and not 0.35 <= fraction <= 0.65:
            answer = str(round(element.weight))
            yield Trivia("atomic_weight_of", ask("atomic_weight_of", rng, name), (answer,), level)
