"""What the text tasks are made of: a task with its wordings, word lists, and the spellings of an answer.

No word of a list starts with "a" or is an article, which the scoring rule drops.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

NAMES = (
    "Ana Adam Ben Clara Dan David Ella Emma Eric Finn Gina Hugo Ivan Jack Jane Kate Lena Leo Lucy Maria Max Mia Noah "
    "Nora Olga Oscar Paul Peter Rosa Ruth Sam Sara Tina Tom Victor Zoe"
).split()
LAST_NAMES = (
    "Baker Brooks Carter Cole Dixon Evans Foster Grant Harris Hughes Jones Kelly Lane Lewis Marsh Miller Nash Owens "
    "Parker Perry Quinn Reed Ross Shaw Smith Todd Turner Walsh Webb Young"
).split()
THINGS = (
    "ball bell bird boat book bowl box brush cake car card cat chair clock coat coin cow cup desk dog door dress drum "
    "duck egg fan fish flag fork fox frog gate glove goat hat horse jar key king kite knife lamp leaf lemon lion map "
    "milk mirror moon mouse nest nut onion owl pan pear pen phone piano pig plate plum queen rain ring river road roof "
    "rope rose sail salt seed shell ship shirt shoe snake snow soap sock spoon star stone sun table tent tiger tooth "
    "tower tree truck vase wagon wall whale wheel wolf zebra"
).split()
# Longer than any thing.
LONG_WORDS = (
    "blanket building butterfly chicken computer dinosaur elephant kitchen library mountain notebook penguin picture "
    "rainbow sandwich teacher umbrella village weather window"
).split()
# Things to buy.
GOODS = (
    "ball bell book bowl brush chair clock coat cup desk drum fan fork glove hat kite knife lamp map mirror pan pen phone "
    "plate rope shirt sock spoon table tent vase"
).split()
# Things that lie in a box, and what they lie in.
SMALL_THINGS = "ball bell card coin cup fork glove key knife lemon map nut pen phone ring seed shell sock spoon".split()
HOLDERS = "bag basket bottle box bucket drawer jar pocket sack tin".split()
PLURALS = "books boxes cards chairs coins cups eggs keys lemons pears pens plates shells spoons stamps stones".split()
ANIMALS = "bird cat cow dog duck fish fox frog goat horse lion mouse owl pig snake tiger wolf zebra".split()
FARM_ANIMALS = "cats cows dogs ducks goats horses pigs sheep".split()
COLORS = "red blue green yellow black white brown pink gray purple".split()
ACTIVITIES = "chess choir cooking dance drama football hockey judo music painting piano swimming tennis yoga".split()
FOODS = "beans bread cake cheese eggs fish noodles pasta rice salad soup toast".split()
CITIES = "Berlin Boston Cairo Dublin Lima Lisbon London Madrid Oslo Paris Prague Rome Seoul Tokyo Vienna Warsaw".split()
DEEDS = (
    "baked the cake,closed the gate,cut the grass,fed the dog,fixed the lamp,found the key,made the soup,packed the bag,"
    "painted the wall,read the map,swept the floor,washed the car,watered the tree"
).split(",")
ACTIONS = "clap dance jump kneel run sing sit sleep stand stop turn wait wave".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
# Two nouns and the word that they make together.
COMPOUNDS = [
    tuple(pair.split("+"))
    for pair in (
        "bed+room bird+house book+case cup+cake door+bell egg+shell fire+place foot+ball gold+fish hair+brush key+board "
        "lip+stick moon+light news+paper note+book pan+cake pop+corn rain+coat sand+box sea+shell snow+man star+fish "
        "sun+flower tea+pot tooth+brush water+fall wheel+chair"
    ).split()
]
NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = "first second third fourth fifth sixth".split()


@dataclass(frozen=True)
class Task:
    """One task in several wordings that all hold the same data, and every accepted answer, the canonical one first."""

    wordings: tuple[str, ...]
    answers: tuple[str, ...]


def some(rng: random.Random, words: Sequence[str], fewest: int, most: int | None = None) -> list[str]:
    """Different words in random order."""
    return rng.sample(words, rng.randint(fewest, most or fewest))


def unlike_words(rng: random.Random, letter: int, fewest: int, most: int | None = None) -> list[str]:
    """Things whose letters at that index (0 or -1) are all different."""
    while True:
        words = some(rng, THINGS, fewest, most)
        if len({word[letter] for word in words}) == len(words):
            return words


def some_numbers(rng: random.Random, low: int, high: int, fewest: int, most: int | None = None) -> list[int]:
    """Different numbers from `low` to `high` in random order."""
    return rng.sample(range(low, high + 1), rng.randint(fewest, most or fewest))


def shuffled(rng: random.Random, items: Sequence) -> list:
    return rng.sample(items, len(items))


def listed(items: Sequence) -> str:
    """[4, 5, 6] becomes "4, 5, 6"."""
    return ", ".join(map(str, items))


def joined(items: Sequence, last: str = "and") -> str:
    """[4, 5, 6] becomes "4, 5 and 6"."""
    return f" {last} ".join(filter(None, [listed(items[:-1]), str(items[-1])]))


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def in_order(items: Sequence) -> tuple[str, ...]:
    """The spellings of a list as an answer."""
    return tuple(dict.fromkeys([listed(items), joined(items)]))


def dollars(amount: int) -> tuple[str, ...]:
    """The spellings of an amount as an answer."""
    return f"${amount}", "1 dollar" if amount == 1 else f"{amount} dollars"


def counted(count: int, one: str, many: str) -> tuple[str, ...]:
    """The spellings of a number of things as an answer: "3", "three", "3 words", "three words"."""
    unit, word = one if count == 1 else many, number_word(count)
    return str(count), word, f"{count} {unit}", f"{word} {unit}"


def number_word(number: int) -> str:
    """A number below 100 in words: 42 becomes "forty-two"."""
    if number < len(NUMBER_WORDS):
        return NUMBER_WORDS[number]
    tens, ones = TENS[number // 10 - 2], number % 10
    return f"{tens}-{NUMBER_WORDS[ones]}" if ones else tens
