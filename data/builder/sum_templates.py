"""The easiest word problems of difficulty 1: two additions with operands to 5.

A model of 135 million parameters that has seen a dozen examples gets some of these right, and next to none of those
that subtract.
"""

import random

from builder.story import COLORS, DAYS, DOLLARS, FOOD, FRUIT, TOYS, Work, cast, noun


def _draw(rng: random.Random) -> list[int]:
    return [rng.randint(2, 5) for _ in range(3)]


def gets_twice(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, c) = cast(rng), rng.choice(TOYS), _draw(rng)
    work.plus(work.plus(a, b, thing), c, thing)
    return f"{who.a} has {a} {thing}, gets {b} more and finds {c}. How many {thing} does {who.he} have now?"


def three_friends(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, c) = cast(rng), rng.choice(TOYS), _draw(rng)
    third = rng.choice(["Finn", "Iris", "Otto", "Vera"])
    work.plus(work.plus(a, b, thing), c, thing)
    return f"{who.a} has {a} {thing}, {who.b} has {b} and {third} has {c}. How many {thing} do they have in all?"


def three_days(rng: random.Random, work: Work) -> str:
    who, (a, b, c) = cast(rng), _draw(rng)
    verb, past, unit = rng.choice(
        [("read", "reads", noun("page")), ("run", "runs", noun("lap")), ("bake", "bakes", noun("cake"))]
    )
    days = rng.sample(DAYS, 3)
    work.plus(work.plus(a, b, unit), c, unit)
    return (
        f"{who.a} {past} {a} {unit} on {days[0]}, {b} on {days[1]} and {c} on {days[2]}. "
        f"How many {unit} does {who.he} {verb}?"
    )


def mixed_bowl(rng: random.Random, work: Work) -> str:
    first, second, third = rng.sample(FRUIT, 3)
    (a, b, c), pieces = _draw(rng), noun("fruit", "fruits")
    holder = rng.choice(["bowl", "basket", "bag", "box"])
    work.plus(work.plus(a, b, pieces), c, pieces)
    return f"A {holder} holds {a} {first}, {b} {second} and {c} {third}. How many fruits are in the {holder}?"


def two_stops(rng: random.Random, work: Work) -> str:
    people, (a, b, c) = noun("person", "people"), _draw(rng)
    vehicle = rng.choice(["bus", "train", "boat", "tram"])
    work.plus(work.plus(a, b, people), c, people)
    return f"{a} people are on a {vehicle}. First {b} get on, then {c} more. How many people are on the {vehicle} now?"


def buys_three(rng: random.Random, work: Work) -> str:
    who, (a, b, c) = cast(rng), _draw(rng)
    first, second, third = rng.sample("pen card sandwich comic toy cake poster drink".split(), 3)
    work.plus(work.plus(a, b, DOLLARS), c, DOLLARS)
    return f"{who.a} buys a {first} for ${a}, a {second} for ${b} and a {third} for ${c}. How much does {who.he} pay?"


def older_and_older(rng: random.Random, work: Work) -> str:
    who, (a, b, c), years = cast(rng), _draw(rng), noun("year")
    third = rng.choice(["Finn", "Iris", "Otto", "Vera"])
    work.plus(work.plus(a, b, years), c, years)
    return (
        f"{who.a} is {a} years old. {who.b} is {b} years older than {who.a}. {third} is {c} years older than {who.b}. "
        f"How old is {third}?"
    )


def climbs_again(rng: random.Random, work: Work) -> str:
    who, (a, b, c), steps = cast(rng), _draw(rng), noun("step")
    work.plus(work.plus(a, b, steps), c, steps)
    return f"{who.a} climbs {a} steps, rests, climbs {b} more and then {c} more. How many steps does {who.he} climb?"


def three_plates(rng: random.Random, work: Work) -> str:
    thing, (a, b, c), colors = rng.choice(FOOD), _draw(rng), rng.sample(COLORS, 3)
    work.plus(work.plus(a, b, thing), c, thing)
    return (
        f"A {colors[0]} plate has {a} {thing}, a {colors[1]} plate has {b} and a {colors[2]} plate has {c}. "
        f"How many {thing} are there?"
    )


SEED_TEMPLATES = (gets_twice, three_friends, three_days, mixed_bowl, two_stops, buys_three)
UNSEEN_TEMPLATES = (older_and_older, climbs_again, three_plates)
