"""Word problems of difficulty 2: two or three steps, sums below 50 and the times tables up to 10."""

import random

from builder.story import (
    DOLLARS,
    FOOD,
    GOODS,
    HOLDERS,
    SNACKS,
    THINGS,
    TOYS,
    UnfitNumbersError,
    Work,
    cast,
    noun,
    some_days,
)

MAX_RESULT = 49


def _draw(rng: random.Random, count: int = 3) -> list[int]:
    return [rng.randint(2, 10) for _ in range(count)]


def packs_then_gives(rng: random.Random, work: Work) -> str:
    who, thing, holder, (a, b, c) = cast(rng), rng.choice(THINGS), rng.choice(HOLDERS), _draw(rng)
    work.minus(work.times(a, b, thing), c, thing)
    return (
        f"{who.a} buys {a} {holder} of {thing} with {b} in each. {who.he_starts} gives {c} {thing} to {who.b}. "
        f"How many {thing} are left?"
    )


def packs_and_loose(rng: random.Random, work: Work) -> str:
    who, thing, holder, (a, b, c) = cast(rng), rng.choice(THINGS), rng.choice(HOLDERS), _draw(rng)
    work.plus(work.times(a, b, thing), c, thing)
    return (
        f"{who.a} has {a} {holder} with {b} {thing} each, and {c} loose {thing}. How many {thing} does {who.he} have?"
    )


def joins_then_shares(rng: random.Random, work: Work) -> str:
    who, thing = cast(rng), rng.choice(FOOD)
    friends, each, a = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 30)
    b = friends * each - a
    if b < 2:
        raise UnfitNumbersError
    work.over(work.plus(a, b, thing), friends, thing)
    return (
        f"{who.a} brings {a} {thing} and {who.b} brings {b}. They share them equally among {friends} children. "
        f"How many {thing} does each child get?"
    )


def two_kinds_of_price(rng: random.Random, work: Work) -> str:
    (first, low, high), (second, low2, high2) = rng.sample(GOODS, 2)
    who, n, m = cast(rng), rng.randint(2, 5), rng.randint(2, 5)
    p, q = rng.randint(max(2, low), high), rng.randint(max(2, low2), high2)
    work.plus(work.times(n, p, DOLLARS), work.times(m, q, DOLLARS), DOLLARS)
    return f"{who.a} buys {n} {first} for ${p} each and {m} {second} for ${q} each. How many dollars does {who.he} pay?"


def change_from_a_bill(rng: random.Random, work: Work) -> str:
    thing, low, high = rng.choice(GOODS)
    who, n, price = cast(rng), rng.randint(2, 9), rng.randint(max(2, low), high)
    bill = rng.choice([20, 30, 40, 45])
    work.minus(bill, work.times(n, price, DOLLARS), DOLLARS)
    return (
        f"{who.a} buys {n} {thing} for ${price} each. {who.he_starts} pays with ${bill}. "
        f"How much change does {who.he} get?"
    )


def times_as_many_together(rng: random.Random, work: Work) -> str:
    who, thing, a, times = cast(rng), rng.choice(THINGS), rng.randint(2, 10), rng.randint(3, 6)
    work.plus(a, work.times(a, times, thing), thing)
    return f"{who.a} has {a} {thing}. {who.b} has {times} times as many. How many {thing} do they have together?"


def free_seats(rng: random.Random, work: Work) -> str:
    (a, b, c), seats = _draw(rng), noun("seat")
    place = rng.choice(["hall", "bus", "theater", "classroom"])
    work.minus(work.times(a, b, seats), c, seats)
    return f"A {place} has {a} rows of {b} seats. {c} seats are taken. How many seats are free?"


def saves_every_week(rng: random.Random, work: Work) -> str:
    who, (a, b, _) = cast(rng), _draw(rng)
    start = rng.randint(2, 20)
    work.plus(start, work.times(a, b, DOLLARS), DOLLARS)
    return f"{who.a} has ${start} and saves ${a} a week. How many dollars does {who.he} have after {b} weeks?"


def shares_then_eats(rng: random.Random, work: Work) -> str:
    thing, friends, each = rng.choice(SNACKS), rng.randint(2, 9), rng.randint(3, 9)
    total, eaten = friends * each, rng.randint(2, 8)
    work.minus(work.over(total, friends, thing), eaten, thing)
    return (
        f"{friends} friends share {total} {thing} equally. Each friend eats {eaten}. "
        f"How many {thing} does each friend have left?"
    )


def counts_legs(rng: random.Random, work: Work) -> str:
    legs, (a, b, _) = noun("leg"), _draw(rng)
    small, large = rng.choice(["chickens", "ducks", "geese"]), rng.choice(["cows", "goats", "sheep", "horses"])
    work.plus(work.times(a, 2, legs), work.times(b, 4, legs), legs)
    return f"A farm has {a} {small} with 2 legs and {b} {large} with 4 legs. How many legs do they have in all?"


def packs_and_sells(rng: random.Random, work: Work) -> str:
    who, thing, holder = cast(rng), rng.choice(FOOD), rng.choice(HOLDERS)
    size, count, sold = rng.randint(2, 9), rng.randint(3, 9), rng.randint(2, 8)
    work.minus(work.over(size * count, size, holder), sold, holder)
    return (
        f"{who.a} packs {size * count} {thing} into {holder} of {size}. {who.he_starts} sells {sold} of the {holder}. "
        f"How many {holder} are left?"
    )


def repacks(rng: random.Random, work: Work) -> str:
    thing, old, new = rng.choice(TOYS), *rng.sample(HOLDERS, 2)
    (a, b, _), into = _draw(rng), rng.randint(2, 9)
    if into in (a, b):
        raise UnfitNumbersError
    work.over(work.times(a, b, thing), into, thing)
    return (
        f"The {thing} from {a} {old} of {b} are put into {into} {new} equally. How many {thing} go into each {new.one}?"
    )


def works_more_hours(rng: random.Random, work: Work) -> str:
    who, (a, b, _), hours = cast(rng), _draw(rng), noun("hour")
    other = rng.randint(3, 30)
    work.minus(work.times(a, b, hours), other, hours)
    return (
        f"{who.a} works {a} hours a day for {b} days. {who.b} works {other} hours in all. "
        f"How many more hours does {who.a} work?"
    )


def gives_half(rng: random.Random, work: Work) -> str:
    who, thing, half, more = cast(rng), rng.choice(THINGS), rng.randint(3, 20), rng.randint(2, 10)
    work.plus(work.over(2 * half, 2, thing), more, thing)
    return (
        f"{who.a} has {2 * half} {thing} and gives half of them to {who.b}. Then {who.he} gets {more} more. "
        f"How many {thing} does {who.a} have?"
    )


def around_the_garden(rng: random.Random, work: Work) -> str:
    place, feet = rng.choice(["garden", "field", "yard", "pool", "room"]), noun("foot", "feet")
    wide, long = sorted(rng.sample(range(2, 13), 2))
    work.times(work.plus(long, wide, feet), 2, feet)
    return f"A {place} is a rectangle, {long} feet long and {wide} feet wide. How many feet is it all the way around?"


def makes_teams(rng: random.Random, work: Work) -> str:
    teams, size, girls = rng.randint(2, 8), rng.randint(3, 9), rng.randint(4, 20)
    boys = teams * size - girls
    if boys < 2:
        raise UnfitNumbersError
    unit = noun("player")
    work.over(work.plus(girls, boys, unit), teams, unit)
    return f"{girls} girls and {boys} boys make {teams} equal teams. How many players are on each team?"


def ages_times_and_minus(rng: random.Random, work: Work) -> str:
    who, years = cast(rng), noun("year")
    a, times, less = rng.randint(3, 10), rng.randint(2, 4), rng.randint(2, 9)
    third = rng.choice(["Finn", "Iris", "Otto", "Vera"])
    work.minus(work.times(a, times, years), less, years)
    many = "twice" if times == 2 else f"{times} times"
    return (
        f"{who.a} is {a} years old. {who.b} is {many} as old. {third} is {less} years younger than {who.b}. "
        f"How old is {third}?"
    )


def wheels_to_bikes(rng: random.Random, work: Work) -> str:
    wheels, vehicle = rng.choice([(2, noun("bike")), (3, noun("tricycle")), (4, noun("car"))])
    count, away = rng.randint(4, 10), rng.randint(2, 8)
    place = rng.choice(["yard", "shop", "street", "shed"]) if wheels < 4 else "garage"
    work.minus(work.over(wheels * count, wheels, vehicle), away, vehicle)
    return (
        f"{wheels * count} wheels are on {vehicle} in a {place}. Each {vehicle.one} has {wheels} wheels. "
        f"If {away} {vehicle} leave, how many {vehicle} stay?"
    )


def average_of_three(rng: random.Random, work: Work) -> str:
    who, points, days = cast(rng), noun("point"), some_days(rng, 3)
    a, b, c = (rng.randint(2, 16) for _ in range(3))
    work.over(work.plus(work.plus(a, b, points), c, points), 3, points)
    return (
        f"{who.a} scores {a} points on {days[0]}, {b} on {days[1]} and {c} on {days[2]}. "
        f"What is {who.his} average score?"
    )


SEED_TEMPLATES = (
    packs_then_gives,
    packs_and_loose,
    joins_then_shares,
    two_kinds_of_price,
    change_from_a_bill,
    times_as_many_together,
    free_seats,
    saves_every_week,
    shares_then_eats,
    counts_legs,
    packs_and_sells,
    repacks,
    works_more_hours,
    gives_half,
)
UNSEEN_TEMPLATES = (around_the_garden, makes_teams, ages_times_and_minus, wheels_to_bikes, average_of_three)
