"""Word problems of difficulty 1: two steps of plus and minus, operands to about 10, results to 20."""

import random

from builder import sum_templates
from builder.story import (
    COLORS,
    DOLLARS,
    FOOD,
    FRUIT,
    NO_UNIT,
    THINGS,
    TOYS,
    UnfitNumbersError,
    Work,
    cast,
    noun,
    some_days,
)

MAX_RESULT = 20


def _draw(rng: random.Random, count: int = 3) -> list[int]:
    return [rng.randint(2, 10) for _ in range(count)]


def buys_then_eats(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, c) = cast(rng), rng.choice(FOOD), _draw(rng)
    work.minus(work.plus(a, b, thing), c, thing)
    return f"{who.a} has {a} {thing} and buys {b} more. {who.he_starts} eats {c}. How many {thing} are left?"


def gives_then_gets(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, c) = cast(rng), rng.choice(TOYS), _draw(rng)
    work.plus(work.minus(a, b, thing), c, thing)
    return (
        f"{who.a} has {a} {thing} and gives {b} to {who.b}. Then {who.he} finds {c} more. "
        f"How many {thing} does {who.a} have now?"
    )


def has_more_together(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, _) = cast(rng), rng.choice(TOYS), _draw(rng)
    work.plus(a, work.plus(a, b, thing), thing)
    return f"{who.a} has {a} {thing}. {who.b} has {b} more than {who.a}. How many {thing} do they have together?"


def has_fewer_together(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, _) = cast(rng), rng.choice(THINGS), _draw(rng)
    work.plus(a, work.minus(a, b, thing), thing)
    return f"{who.a} has {a} {thing}. {who.b} has {b} fewer than {who.a}. How many {thing} do they have in all?"


def bus_stop(rng: random.Random, work: Work) -> str:
    people, (a, b, c) = noun("person", "people"), _draw(rng)
    vehicle = rng.choice(["bus", "train", "boat", "tram"])
    work.plus(work.minus(a, b, people), c, people)
    return (
        f"There are {a} people on a {vehicle}. Then {b} get off and {c} get on. How many people are on the {vehicle}?"
    )


def leaves_in_two_groups(rng: random.Random, work: Work) -> str:
    animal, place = rng.choice(
        [("bird", "in a tree"), ("duck", "on a pond"), ("frog", "on a log"), ("cow", "in a field")]
    )
    verb = {"bird": "fly", "duck": "swim", "frog": "hop", "cow": "walk"}[animal]
    unit, (_, b, c) = noun(animal), _draw(rng)
    a = rng.randint(8, 20)
    work.minus(work.minus(a, b, unit), c, unit)
    return f"There are {a} {unit} {place}. First {b} {verb} away, then {c} more. How many {unit} are still there?"


def three_colors(rng: random.Random, work: Work) -> str:
    thing, (a, b, c) = rng.choice(TOYS), _draw(rng)
    holder, colors = rng.choice(["bag", "box", "jar", "drawer"]), rng.sample(COLORS, 3)
    work.plus(work.plus(a, b, thing), c, thing)
    return (
        f"A {holder} holds {a} {colors[0]}, {b} {colors[1]} and {c} {colors[2]} {thing}. "
        f"How many {thing} are in the {holder}?"
    )


def spends_twice(rng: random.Random, work: Work) -> str:
    who, (_, b, c) = cast(rng), _draw(rng)
    first, second = rng.sample(["pen", "card", "sandwich", "comic", "toy", "cake", "poster", "drink"], 2)
    budget = rng.choice([10, 12, 15, 18, 20])
    work.minus(budget, work.plus(b, c, DOLLARS), DOLLARS)
    return (
        f"{who.a} has ${budget}. {who.he_starts} buys a {first} for ${b} and a {second} for ${c}. "
        f"How much money is left?"
    )


def reaches_a_goal(rng: random.Random, work: Work) -> str:
    who, (_, b, c), days = cast(rng), _draw(rng), some_days(rng, 2)
    goal = rng.randint(8, 20)
    verb, past, unit = rng.choice(
        [("read", "reads", noun("page")), ("run", "runs", noun("lap")), ("draw", "draws", noun("picture"))]
    )
    work.minus(goal, work.plus(b, c, unit), unit)
    return (
        f"{who.a} wants to {verb} {goal} {unit}. {who.he_starts} {past} {b} on {days[0]} and {c} on {days[1]}. "
        f"How many {unit} are left to {verb}?"
    )


def who_is_absent(rng: random.Random, work: Work) -> str:
    group, (a, b, c) = rng.choice(["class", "choir", "club", "team"]), _draw(rng)
    unit = noun("child", "children")
    work.minus(work.plus(a, b, unit), c, unit)
    return f"A {group} has {a} girls and {b} boys. Today {c} are sick at home. How many children are there today?"


def ages_in_a_chain(rng: random.Random, work: Work) -> str:
    who, (a, b, c) = cast(rng), _draw(rng)
    third = rng.choice(["Finn", "Iris", "Otto", "Vera"])
    years = noun("year")
    work.minus(work.plus(a, b, years), c, years)
    return (
        f"{who.a} is {a} years old. {who.b} is {b} years older, and {third} is {c} years younger than {who.b}. "
        f"How old is {third}?"
    )


def lift_floors(rng: random.Random, work: Work) -> str:
    a, b, c = _draw(rng)
    who = cast(rng)
    work.minus(work.plus(a, b), c)
    return f"{who.a} gets in a lift on floor {a}. It goes up {b} floors and then down {c}. On which floor is {who.he}?"


def more_than_yesterday(rng: random.Random, work: Work) -> str:
    who, (a, b, c) = cast(rng), _draw(rng)
    verb, unit = rng.choice([("reads", noun("page")), ("paints", noun("tile")), ("picks", rng.choice(FRUIT))])
    base = {"reads": "read", "paints": "paint", "picks": "pick"}[verb]
    past = {"reads": "read", "paints": "painted", "picks": "picked"}[verb]
    work.minus(work.plus(a, b, unit), c, unit)
    return (
        f"{who.a} {verb} {a} {unit} in the morning and {b} at night. Yesterday {who.he} {past} {c}. "
        f"How many more did {who.he} {base} today?"
    )


def compares_after_adding(rng: random.Random, work: Work) -> str:
    (_, b, c), (first, second) = _draw(rng), rng.sample(FRUIT, 2)
    a = rng.randint(8, 20)
    work.minus(a, work.plus(b, c, second), NO_UNIT)
    return (
        f"A bowl has {a} {first} and {b} {second}. Someone adds {c} {second}. "
        f"How many more {first} than {second} are there now?"
    )


def how_many_at_first(rng: random.Random, work: Work) -> str:
    who, thing, (a, b, c) = cast(rng), rng.choice(TOYS), _draw(rng)
    work.plus(work.plus(c, b, thing), a, thing)
    return (
        f"{who.a} gives away {a} {thing} and loses {b}. Now {who.he} has {c} {thing}. "
        f"How many {thing} did {who.he} have at first?"
    )


def shares_and_compares(rng: random.Random, work: Work) -> str:
    who, thing, (_, b, c) = cast(rng), rng.choice(THINGS), _draw(rng)
    a = rng.randint(8, 20)
    work.minus(work.minus(a, b, thing), c, thing)
    return (
        f"{who.a} had {a} {thing} but lost {b} of them. {who.b} has {c} {thing}. "
        f"How many more {thing} does {who.a} have than {who.b}?"
    )


def rest_is_another_color(rng: random.Random, work: Work) -> str:
    thing, (_, b, c), colors = rng.choice(TOYS), _draw(rng), rng.sample(COLORS, 3)
    a = rng.randint(8, 20)
    work.minus(a, work.plus(b, c, thing), thing)
    return (
        f"There are {a} {thing} in a box. {b} are {colors[0]}, {c} are {colors[1]} and the rest are {colors[2]}. "
        f"How many {thing} are {colors[2]}?"
    )


def place_in_line(rng: random.Random, work: Work) -> str:
    who, (a, b, _) = cast(rng), _draw(rng)
    people = noun("person", "people")
    work.plus(work.plus(a, b, people), 1, people)
    return f"{who.a} stands in a line. {a} people are before {who.him} and {b} are behind. How many people are in all?"


def home_at_what_hour(rng: random.Random, work: Work) -> str:
    who = cast(rng)
    start, length, trip = rng.randint(1, 7), rng.randint(2, 4), rng.randint(1, 3)
    event = rng.choice(["A film", "A game", "A concert", "A lesson", "A party"])
    if work.plus(work.plus(start, length), trip) > 12:
        raise UnfitNumbersError
    hours = "1 hour" if trip == 1 else f"{trip} hours"
    return (
        f"{event} starts at {start} o'clock and lasts {length} hours. {who.a} gets home {hours} after the end. "
        f"At what hour is {who.he} home?"
    )


def plant_is_cut(rng: random.Random, work: Work) -> str:
    (a, b, c), unit = _draw(rng), noun("inch", "inches")
    plant = rng.choice(["A plant", "A vine", "A bush", "A flower"])
    work.minus(work.plus(a, b, unit), c, unit)
    return f"{plant} is {a} inches tall and grows {b} inches. Then {c} inches are cut off. How tall is it now?"


def found_before_spending(rng: random.Random, work: Work) -> str:
    who, (a, _, c) = cast(rng), _draw(rng)
    unit = rng.choice([noun("coin"), noun("shell"), noun("stamp")])
    b = rng.randint(a + 1, 20)
    work.plus(work.minus(b, a, unit), c, unit)
    return (
        f"{who.a} had {a} {unit}, found some, and then had {b}. Later {who.he} found {c} more. "
        f"How many {unit} did {who.he} find in all?"
    )


def closer_score(rng: random.Random, work: Work) -> str:
    who, (_, b, c), points = cast(rng), _draw(rng), noun("point")
    a = rng.randint(8, 20)
    work.minus(a, work.plus(b, c, points), points)
    return (
        f"{who.a} scores {a} points. {who.b} scores {b} points and then {c} more. By how many points does {who.a} win?"
    )


SEED_TEMPLATES = (
    *sum_templates.SEED_TEMPLATES,
    buys_then_eats,
    gives_then_gets,
    has_more_together,
    has_fewer_together,
    bus_stop,
    leaves_in_two_groups,
    three_colors,
    spends_twice,
    reaches_a_goal,
    who_is_absent,
    ages_in_a_chain,
    lift_floors,
    more_than_yesterday,
    compares_after_adding,
    how_many_at_first,
    shares_and_compares,
)
UNSEEN_TEMPLATES = (
    *sum_templates.UNSEEN_TEMPLATES,
    rest_is_another_color,
    place_in_line,
    home_at_what_hour,
    plant_is_cut,
    found_before_spending,
    closer_score,
)
