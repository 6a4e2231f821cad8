"""Word problems of difficulty 3: three steps, all numbers below 200."""

import random

from builder.story import BAKED, DOLLARS, GOODS, HOLDERS, THINGS, TOYS, UnfitNumbersError, Work, cast, noun, some_days

MAX_RESULT = 199


def two_items_and_change(rng: random.Random, work: Work) -> str:
    (thing, low, high), (other, low2, high2) = rng.sample(GOODS, 2)
    who, n, price, extra = (
        cast(rng),
        rng.randint(3, 9),
        rng.randint(max(2, low), high),
        rng.randint(low2 + 1, high2 + 6),
    )
    bill = rng.choice([50, 60, 80, 100])
    total = work.plus(work.times(n, price, DOLLARS), extra, DOLLARS)
    work.minus(bill, total, DOLLARS)
    return (
        f"{who.a} buys {n} {thing} for ${price} each and one {other.one} for ${extra}. "
        f"{who.he_starts} pays with ${bill}. How much change does {who.he} get?"
    )


def eggs_of_several_days(rng: random.Random, work: Work) -> str:
    hens, each, days, eggs = rng.randint(3, 9), rng.randint(2, 3), rng.randint(3, 7), noun("egg")
    broken = rng.randint(3, 20)
    work.minus(work.times(work.times(hens, each, eggs), days, eggs), broken, eggs)
    return (
        f"A farmer has {hens} hens. Each hen lays {each} eggs a day. After {days} days, {broken} eggs have broken. "
        f"How many good eggs are there?"
    )


def trays_without_the_bad_ones(rng: random.Random, work: Work) -> str:
    food, trays, each, size = rng.choice(BAKED), rng.randint(4, 12), rng.randint(6, 12), rng.randint(3, 9)
    burnt = rng.randint(2, 12)
    holder = rng.choice(HOLDERS)
    work.over(work.minus(work.times(trays, each, food), burnt, food), size, holder)
    return (
        f"A baker fills {trays} trays with {each} {food} each. {burnt} burn, and the rest go into {holder} of {size}. "
        f"How many {holder} does the baker fill?"
    )


def chain_of_comparisons(rng: random.Random, work: Work) -> str:
    who, thing, a, times, more = cast(rng), rng.choice(TOYS), rng.randint(4, 20), rng.randint(3, 5), rng.randint(3, 15)
    third = rng.choice(["Finn", "Iris", "Otto", "Vera"])
    second = work.times(a, times, thing)
    work.plus(second, work.plus(second, more, thing), thing)
    return (
        f"{who.a} has {a} {thing}. {who.b} has {times} times as many as {who.a}. {third} has {more} more than {who.b}. "
        f"How many {thing} do {who.b} and {third} have together?"
    )


def two_days_of_wages(rng: random.Random, work: Work) -> str:
    who, days = cast(rng), some_days(rng, 2)
    hours, rate, hours2, rate2 = rng.randint(3, 8), rng.randint(6, 12), rng.randint(2, 6), rng.randint(6, 15)
    if rate == rate2:
        raise UnfitNumbersError
    work.plus(work.times(hours, rate, DOLLARS), work.times(hours2, rate2, DOLLARS), DOLLARS)
    return (
        f"{who.a} works {hours} hours on {days[0]} for ${rate} an hour and {hours2} hours on {days[1]} for "
        f"${rate2} an hour. How much does {who.he} earn?"
    )


def empty_chairs(rng: random.Random, work: Work) -> str:
    tables, each, extra, people = rng.randint(4, 12), rng.randint(4, 8), rng.randint(3, 20), rng.randint(15, 80)
    chairs, place = noun("chair"), rng.choice(["hall", "cafe", "library", "school"])
    work.minus(work.plus(work.times(tables, each, chairs), extra, chairs), people, chairs)
    return (
        f"A {place} has {tables} tables with {each} chairs each and {extra} more chairs. {people} people sit down. "
        f"How many chairs are empty?"
    )


def miles_still_to_go(rng: random.Random, work: Work) -> str:
    who, miles, days = cast(rng), noun("mile"), rng.randint(3, 8)
    per_day, last, total = rng.randint(5, 15), rng.randint(3, 12), rng.choice([80, 90, 100, 120, 150])
    work.minus(work.minus(total, work.times(per_day, days, miles), miles), last, miles)
    return (
        f"{who.a} plans a {total}-mile hike. {who.he_starts} walks {per_day} miles a day for {days} days "
        f"and then {last} miles. How many miles are left?"
    )


def keeps_some_then_shares(rng: random.Random, work: Work) -> str:
    who, thing, friends = cast(rng), rng.choice(THINGS), rng.randint(3, 9)
    each, kept, had = rng.randint(4, 15), rng.randint(4, 20), rng.randint(2, 15)
    work.plus(work.over(work.minus(friends * each + kept, kept, thing), friends, thing), had, thing)
    return (
        f"{who.a} keeps {kept} of {who.his} {friends * each + kept} {thing} and shares the rest equally "
        f"among {friends} friends. {who.b}, one of them, already had {had}. How many {thing} does {who.b} have now?"
    )


def cheaper_by_the_piece(rng: random.Random, work: Work) -> str:
    (thing, _, high), who = rng.choice(GOODS), cast(rng)
    price, off, n, shipping = high + rng.randint(3, 10), rng.randint(2, 5), rng.randint(3, 9), rng.randint(3, 12)
    work.plus(work.times(work.minus(price, off, DOLLARS), n, DOLLARS), shipping, DOLLARS)
    return (
        f"{thing.many.capitalize()} cost ${price}, but today each is ${off} off. {who.a} orders {n} and pays "
        f"${shipping} for shipping. How much does {who.he} pay?"
    )


def garden_without_the_pond(rng: random.Random, work: Work) -> str:
    long, wide, side = rng.randint(8, 16), rng.randint(5, 12), rng.randint(2, 5)
    unit = noun("square foot", "square feet")
    if wide >= long:
        raise UnfitNumbersError
    work.minus(work.times(long, wide, unit), work.times(side, side, unit), unit)
    inside = rng.choice(["pond", "shed", "flower bed", "sandbox"])
    return (
        f"A garden is {long} feet long and {wide} feet wide. A square {inside} in it has sides of {side} feet. "
        f"How many square feet are left?"
    )


def pages_per_minute(rng: random.Random, work: Work) -> str:
    rate, minutes, later, extra = rng.randint(3, 12), rng.randint(2, 6), rng.randint(3, 12), rng.randint(3, 20)
    machine, verb, unit = rng.choice(
        [("printer", "prints", noun("page")), ("machine", "makes", noun("nail")), ("pump", "moves", noun("gallon"))]
    )
    if later == minutes:
        raise UnfitNumbersError
    work.minus(work.times(work.over(rate * minutes, minutes, unit), later, unit), extra, unit)
    return (
        f"A {machine} {verb} {rate * minutes} {unit} in {minutes} minutes. It runs for {later} minutes, but {extra} "
        f"{unit} are wasted. How many good {unit} are there?"
    )


def difference_of_collections(rng: random.Random, work: Work) -> str:
    who, thing, (first, second) = cast(rng), rng.choice(TOYS), rng.sample(HOLDERS, 2)
    a, b, c, d = rng.randint(5, 12), rng.randint(6, 14), rng.randint(3, 9), rng.randint(3, 9)
    work.minus(work.times(a, b, thing), work.times(c, d, thing), thing)
    return (
        f"{who.a} has {a} {first} of {b} {thing}. {who.b} has {c} {second} of {d} {thing}. "
        f"How many more {thing} does {who.a} have?"
    )


def splits_the_bill(rng: random.Random, work: Work) -> str:
    n, price, people, tip = rng.randint(3, 8), rng.randint(6, 15), rng.randint(2, 6), rng.randint(4, 20)
    food = rng.choice(["pizzas", "salads", "burgers", "sandwiches"])
    work.over(work.plus(work.times(n, price, DOLLARS), tip, DOLLARS), people, DOLLARS)
    return (
        f"{people} friends order {n} {food} for ${price} each and leave a ${tip} tip. They split the bill equally. "
        f"How much does each friend pay?"
    )


SEED_TEMPLATES = (
    two_items_and_change,
    eggs_of_several_days,
    trays_without_the_bad_ones,
    chain_of_comparisons,
    two_days_of_wages,
    empty_chairs,
    miles_still_to_go,
    keeps_some_then_shares,
    cheaper_by_the_piece,
)
UNSEEN_TEMPLATES = (garden_without_the_pond, pages_per_minute, difference_of_collections, splits_the_bill)
