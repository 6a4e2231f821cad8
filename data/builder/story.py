"""What the word-problem templates are made of: names, nouns, and a worked solution that records its own steps.

A template writes its question and does its sums on a `Work`:

    work = Work()
    left = work.minus(work.plus(6, 3, APPLES), 4, APPLES)
    work.lines == ["6 + 3 = 9 apples.", "9 - 4 = 5 apples."] and left == 5
"""

import random
from dataclasses import dataclass, field

PEOPLE = (
    [(name, "she") for name in "Ana Mia Zoe Lily Emma Nora Ruth Sara Amy Kate Maya Tina Ella Rosa Jane Lucy".split()]
    + [(name, "he") for name in "Ben Tom Sam Leo Max Dan Omar Jack Luis Ivan Paul Adam Eric Noah Hugo Ravi".split()]
)  # fmt: skip


class UnfitNumbersError(Exception):
    """The drawn numbers do not fit the template; the caller draws again."""


@dataclass(frozen=True)
class Noun:
    """A countable noun. An empty one writes no unit."""

    one: str
    many: str

    def __call__(self, count: int) -> str:
        return self.one if count == 1 else self.many

    def __str__(self) -> str:
        return self.many


def noun(one: str, many: str | None = None) -> Noun:
    """A noun with its plural, in -s unless given."""
    return Noun(one, f"{one}s" if many is None else many)


FRUIT = [noun("apple"), noun("pear"), noun("plum"), noun("orange"), noun("lemon"), noun("banana"), noun("mango")]
BAKED = [noun(word) for word in "cookie muffin cracker bagel pretzel pancake".split()]
SNACKS = [
    *BAKED,
    noun("berry", "berries"),
    noun("cherry", "cherries"),
]
TOYS = [
    *(noun(word) for word in "marble sticker card coin shell stamp bead button badge toy crayon pencil".split()),
]
GOODS = [
    (noun("pen"), 1, 4),
    (noun("notebook"), 2, 6),
    (noun("mug"), 3, 9),
    (noun("cap"), 4, 10),
    (noun("book"), 4, 10),
    (noun("ball"), 2, 8),
    (noun("ticket"), 3, 10),
    (noun("plant"), 3, 9),
    (noun("candle"), 2, 7),
    (noun("scarf", "scarves"), 5, 10),
]
HOLDERS = [noun("bag"), noun("box", "boxes"), noun("pack"), noun("jar"), noun("tin")]
COLORS = "red blue green yellow black white".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday".split()
THINGS = [*FRUIT, *SNACKS, *TOYS]
FOOD = [*FRUIT, *SNACKS]
DOLLARS = noun("dollar")
NO_UNIT = noun("", "")


@dataclass
class Work:
    """The lines of a worked solution. No result is negative or broken, or the numbers are rejected."""

    lines: list[str] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    def plus(self, x: int, y: int, unit: Noun = NO_UNIT) -> int:
        return self._record(x, "+", y, x + y, unit)

    def minus(self, x: int, y: int, unit: Noun = NO_UNIT) -> int:
        return self._record(x, "-", y, x - y, unit)

    def times(self, x: int, y: int, unit: Noun = NO_UNIT) -> int:
        return self._record(x, "*", y, x * y, unit)

    def over(self, x: int, y: int, unit: Noun = NO_UNIT) -> int:
        if x % y:
            raise UnfitNumbersError
        return self._record(x, "/", y, x // y, unit)

    def _record(self, x: int, sign: str, y: int, result: int, unit: Noun) -> int:
        if result < 1:
            raise UnfitNumbersError
        word = unit(result)
        self.lines.append(f"{x} {sign} {y} = {result}{' ' if word else ''}{word}.")
        self.results.append(result)
        return result


@dataclass(frozen=True)
class Cast:
    """Two people of a story, each with the pronoun that fits."""

    a: str
    he: str
    b: str

    @property
    def he_starts(self) -> str:
        """The pronoun at the start of a sentence."""
        return self.he.capitalize()

    @property
    def his(self) -> str:
        return {"he": "his", "she": "her"}[self.he]

    @property
    def him(self) -> str:
        return {"he": "him", "she": "her"}[self.he]


def cast(rng: random.Random) -> Cast:
    """Two different people."""
    first, second = rng.sample(PEOPLE, 2)
    return Cast(first[0], first[1], second[0])


def some_days(rng: random.Random, count: int) -> list[str]:
    """Different days in the order of the week."""
    return [DAYS[index] for index in sorted(rng.sample(range(len(DAYS)), count))]
