"""Facts about chemical elements, read from periodictable."""

from dataclasses import dataclass

import periodictable

from builder import editorial


@dataclass(frozen=True)
class Element:
    """A chemical element; `weight` is its atomic weight."""

    names: tuple[str, ...]
    symbol: str
    number: int
    weight: float
    tier: int

    @property
    def in_sentence(self) -> str:
        return self.names[0].lower()


def load_elements() -> list[Element]:
    """All 118 elements, the best known first."""
    elements = []
    for element in periodictable.elements:
        if element.number < 1:
            continue
        if element.name in editorial.COMMON_ELEMENTS:
            tier = 1
        elif element.name in editorial.KNOWN_ELEMENTS:
            tier = 2
        else:
            tier = 3 if element.number < 99 else 4
        names = (element.name.capitalize(), *editorial.ELEMENT_ALIASES.get(element.name, []))
        elements.append(Element(names, element.symbol, element.number, element.mass, tier))
    return sorted(elements, key=lambda element: (element.tier, element.number))
