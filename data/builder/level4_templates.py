"""Word problems of difficulty 4: three to five steps with percentages and halves that come out whole."""

import random

from builder.story import BAKED, DOLLARS, GOODS, NO_UNIT, UnfitNumbersError, Work, cast, noun, some_days

MAX_RESULT = 6000
PERCENTS = (10, 20, 25, 30, 40, 50)


def percent_off(rng: random.Random, work: Work) -> str:
    (thing, _, high), who = rng.choice(GOODS), cast(rng)
    n, price, percent = rng.randint(4, 12), high + rng.randint(2, 15), rng.choice(PERCENTS)
    total = work.times(n, price, DOLLARS)
    work.minus(total, work.over(work.times(total, percent), 100, DOLLARS), DOLLARS)
    return (
        f"{who.a} buys {n} {thing} that cost ${price} each. The store takes {percent}% off the total. "
        f"How many dollars does {who.he} pay?"
    )


def half_then_a_third(rng: random.Random, work: Work) -> str:
    who, pages, days = cast(rng), noun("page"), some_days(rng, 2)
    total, part = 12 * rng.randint(5, 40), rng.choice([3, 4, 5])
    half = work.over(total, 2, pages)
    rest = work.minus(total, half, pages)
    work.minus(rest, work.over(rest, part, pages), pages)
    fraction = {3: "a third", 4: "a quarter", 5: "a fifth"}[part]
    return (
        f"{who.a} reads half of a {total}-page book on {days[0]}. On {days[1]} {who.he} reads {fraction} of the rest. "
        f"How many pages are left to read?"
    )


def overtime_after_tax(rng: random.Random, work: Work) -> str:
    who, hours, rate = cast(rng), rng.choice([20, 30, 35, 40]), rng.randint(8, 25)
    extra, more, tax = rng.randint(2, 8), rng.randint(3, 12), rng.randint(20, 150)
    normal = work.times(hours, rate, DOLLARS)
    overtime = work.times(extra, work.plus(rate, more, DOLLARS), DOLLARS)
    work.minus(work.plus(normal, overtime, DOLLARS), tax, DOLLARS)
    return (
        f"{who.a} earns ${rate} an hour for {hours} hours, and ${more} more per hour for {extra} extra hours. "
        f"{who.he_starts} pays ${tax} in tax. How many dollars does {who.he} keep?"
    )


def sells_what_is_left(rng: random.Random, work: Work) -> str:
    who, eggs = cast(rng), noun("egg")
    laid, eaten, baked, price, days = (
        rng.randint(14, 30),
        rng.randint(2, 5),
        rng.randint(3, 8),
        rng.randint(2, 4),
        rng.choice([5, 7, 14, 30]),
    )
    left = work.minus(work.minus(laid, eaten, eggs), baked, eggs)
    work.times(work.times(left, price, DOLLARS), days, DOLLARS)
    return (
        f"{who.a}'s ducks lay {laid} eggs a day. {who.he_starts} eats {eaten}, bakes with {baked} and sells the rest "
        f"for ${price} each. How many dollars does {who.he} make in {days} days?"
    )


def fills_with_a_leak(rng: random.Random, work: Work) -> str:
    liters, fill, leak, minutes = noun("liter"), rng.randint(8, 30), rng.randint(2, 7), rng.randint(5, 30)
    size, start = rng.choice([200, 300, 400, 500, 600, 800]), rng.randint(10, 60)
    gained = work.times(work.minus(fill, leak, liters), minutes, liters)
    work.minus(size, work.plus(start, gained, liters), liters)
    return (
        f"A {size}-liter tank holds {start} liters. A pipe adds {fill} liters a minute while a leak loses {leak}. "
        f"How many more liters fit after {minutes} minutes?"
    )


def buses_for_a_trip(rng: random.Random, work: Work) -> str:
    classes, each, seats = rng.randint(4, 10), rng.randint(18, 28), rng.choice([20, 30, 40, 50])
    people, teachers, cost = noun("person", "people"), rng.randint(5, 20), rng.randint(80, 250)
    students = work.times(classes, each, noun("student"))
    buses = work.over(work.plus(students, teachers, people), seats, noun("bus", "buses"))
    work.times(buses, cost, DOLLARS)
    return (
        f"{classes} classes of {each} students and {teachers} teachers go on a trip. A bus has {seats} seats and costs "
        f"${cost}. How many dollars do the full buses cost?"
    )


def weeks_to_a_goal(rng: random.Random, work: Work) -> str:
    who, weekly, spent = cast(rng), rng.randint(12, 40), rng.randint(3, 10)
    weeks, saved = rng.randint(4, 20), rng.randint(15, 90)
    price = (weekly - spent) * weeks + saved
    thing = rng.choice(["bike", "phone", "guitar", "camera", "desk"])
    work.over(work.minus(price, saved, DOLLARS), work.minus(weekly, spent, DOLLARS), noun("week"))
    return (
        f"A {thing} costs ${price}. {who.a} has ${saved}. Each week {who.he} gets ${weekly} and spends ${spent} of it. "
        f"In how many weeks can {who.he} buy the {thing}?"
    )


def percent_of_the_school(rng: random.Random, work: Work) -> str:
    total, percent = rng.randint(8, 60) * 10, rng.choice([10, 20, 30, 40])
    thing, unit = rng.choice(["walk", "cycle", "take the bus"]), noun("student")
    walkers = work.over(work.times(total, percent), 100, unit)
    work.minus(work.minus(total, walkers, unit), walkers, unit)
    return (
        f"A school has {total} students. {percent}% {thing} to school and the others come by car. "
        f"How many more students come by car than {thing}?"
    )


def ages_in_some_years(rng: random.Random, work: Work) -> str:
    who, years, child, times = cast(rng), noun("year"), rng.randint(4, 14), rng.randint(3, 5)
    later = rng.randint(3, 15)
    parent = rng.choice(["mother", "father", "aunt", "uncle"])
    if child * times > 60 or child * times < child + 18:
        raise UnfitNumbersError
    then = work.plus(work.times(child, times, years), later, years)
    work.plus(then, work.plus(child, later, years), years)
    return (
        f"{who.a} is {child} years old and {who.his} {parent} is {times} times as old. "
        f"What will the sum of their ages be in {later} years?"
    )


def fuel_for_a_trip(rng: random.Random, work: Work) -> str:
    per_gallon, gallons, price = rng.choice([20, 25, 30, 40]), rng.randint(4, 15), rng.randint(3, 6)
    toll, people, miles = rng.randint(4, 40), rng.randint(2, 5), noun("gallon")
    cost = work.plus(work.times(work.over(per_gallon * gallons, per_gallon, miles), price, DOLLARS), toll, DOLLARS)
    work.over(cost, people, DOLLARS)
    return (
        f"{people} friends drive {per_gallon * gallons} miles in a car that goes {per_gallon} miles on a gallon. "
        f"A gallon costs ${price}, and tolls are ${toll}. How many dollars does each friend pay?"
    )


def scales_a_recipe(rng: random.Random, work: Work) -> str:
    serves, times, cups, price = rng.randint(3, 8), rng.randint(3, 9), rng.randint(2, 6), rng.randint(2, 5)
    what, have = rng.choice(["flour", "rice", "milk", "sugar"]), rng.randint(1, 5)
    unit = noun("cup")
    needed = work.times(work.over(serves * times, serves), cups, unit)
    work.times(work.minus(needed, have, unit), price, DOLLARS)
    return (
        f"A recipe for {serves} people needs {cups} cups of {what}. The cook has {have} {unit(have)}, feeds "
        f"{serves * times} people and buys the missing cups at ${price} each. How many dollars does that cost?"
    )


def profit_of_a_stall(rng: random.Random, work: Work) -> str:
    who, food = cast(rng), rng.choice(BAKED)
    cost, gain, n, fee = rng.randint(2, 6), rng.randint(2, 6), rng.choice([20, 25, 40, 50, 60, 80]), rng.randint(10, 60)
    days = rng.randint(2, 5)
    daily = work.minus(work.times(work.minus(cost + gain, cost, DOLLARS), n, DOLLARS), fee, DOLLARS)
    work.times(daily, days, DOLLARS)
    return (
        f"{who.a} makes {food} for ${cost} each and sells them for ${cost + gain}. A day {who.he} sells {n} and pays "
        f"${fee} for a stall. How many dollars is {who.his} profit in {days} days?"
    )


def grows_by_a_percent(rng: random.Random, work: Work) -> str:
    start, percent, leave = rng.randint(4, 60) * 10, rng.choice(PERCENTS), rng.randint(5, 40)
    group, unit = rng.choice(["club", "gym", "choir", "library"]), noun("member")
    grown = work.plus(start, work.over(work.times(start, percent, NO_UNIT), 100, unit), unit)
    work.minus(grown, leave, unit)
    return (
        f"A {group} has {start} members. In spring the number grows by {percent}%. In autumn {leave} members leave. "
        f"How many members are there then?"
    )


SEED_TEMPLATES = (
    percent_off,
    half_then_a_third,
    overtime_after_tax,
    sells_what_is_left,
    fills_with_a_leak,
    buses_for_a_trip,
    weeks_to_a_goal,
    percent_of_the_school,
    ages_in_some_years,
)
UNSEEN_TEMPLATES = (fuel_for_a_trip, scales_a_recipe, profit_of_a_stall, grows_by_a_percent)
