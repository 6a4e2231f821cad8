"""Text tasks of difficulty 3: every item of a list is compared, changed or counted, or two steps follow each other."""

import random

from builder.text_words import (
    ACTIVITIES,
    DAYS,
    FARM_ANIMALS,
    FOODS,
    GOODS,
    LAST_NAMES,
    MONTHS,
    NAMES,
    ORDINALS,
    THINGS,
    Task,
    counted,
    dollars,
    in_order,
    joined,
    listed,
    sentence,
    shuffled,
    some,
    some_numbers,
    unlike_words,
)


def _unsorted(rng: random.Random, items: list) -> list:
    """The items in an order that is neither rising nor falling."""
    while (found := shuffled(rng, items)) in (sorted(items), sorted(items, reverse=True)):
        pass
    return found


def sort_numbers(rng: random.Random) -> Task:
    numbers = _unsorted(rng, some_numbers(rng, 2, 99, 3))
    return Task(
        (
            f"Sort from smallest to largest: {listed(numbers)}",
            f"Put these numbers in order, smallest first: {listed(numbers)}",
            f"Numbers: {listed(numbers)}. Write them from smallest to largest.",
        ),
        in_order(sorted(numbers)),
    )


def sort_words(rng: random.Random) -> Task:
    words = _unsorted(rng, unlike_words(rng, 0, 3))
    return Task(
        (
            f"Sort in alphabetical order: {listed(words)}",
            f"Put these words in alphabetical order: {listed(words)}",
            f"Words: {listed(words)}. Write them in alphabetical order.",
        ),
        in_order(sorted(words)),
    )


def reverse_list(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3, 4)
    return Task(
        (
            f"Write these words in reverse order: {listed(words)}",
            f"Reverse the order of this list: {listed(words)}",
            f"List: {listed(words)}. Write it from last to first.",
        ),
        in_order(words[::-1]),
    )


def _around(rng: random.Random, limit: int, above: int, below: int) -> list[int]:
    numbers = rng.sample(range(limit + 1, 100), above) + rng.sample(range(1, limit), below)
    return shuffled(rng, numbers)


def count_above(rng: random.Random) -> Task:
    limit, above = rng.randrange(20, 81, 10), rng.randint(1, 3)
    numbers = _around(rng, limit, above, 4 - above)
    return Task(
        (
            f"How many numbers are above {limit}: {listed(numbers)}?",
            f"Count the numbers above {limit}: {listed(numbers)}",
            f"Numbers: {listed(numbers)}. How many are above {limit}?",
        ),
        counted(above, "number", "numbers"),
    )


def numbers_above(rng: random.Random) -> Task:
    limit = rng.randrange(20, 81, 10)
    numbers = _around(rng, limit, 2, rng.randint(1, 2))
    return Task(
        (
            f"Keep only the numbers above {limit}: {listed(numbers)}",
            f"Drop the numbers below {limit}: {listed(numbers)}",
            f"Numbers: {listed(numbers)}. Keep those above {limit}.",
        ),
        in_order([number for number in numbers if number > limit]),
    )


def iso_date(rng: random.Random) -> Task:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2025)
    date = f"{day} {MONTHS[month - 1]} {year}"
    return Task(
        (
            f"Write {date} as YYYY-MM-DD.",
            f"What is {date} as YYYY-MM-DD?",
            f"Date: {date}. Write it as YYYY-MM-DD.",
        ),
        (f"{year}-{month:02}-{day:02}",),
    )


def initials(rng: random.Random) -> Task:
    # "A." would be dropped as an article.
    first, last = rng.choice([name for name in NAMES if name[0] != "A"]), rng.choice(LAST_NAMES)
    return Task(
        (
            f"What are the initials of {first} {last}?",
            f"Write the initials of {first} {last}",
            f"Name: {first} {last}. What are the initials?",
        ),
        (f"{first[0]}{last[0]}", f"{first[0]}.{last[0]}."),
    )


def add_to_each(rng: random.Random) -> Task:
    numbers, more = some_numbers(rng, 1, 20, 2, 3), rng.randint(1, 5)
    return Task(
        (
            f"Add {more} to each number: {listed(numbers)}",
            f"Make each number larger by {more}: {listed(numbers)}",
            f"Numbers: {listed(numbers)}. Add {more} to each of them.",
        ),
        in_order([number + more for number in numbers]),
    )


def most_frequent(rng: random.Random) -> Task:
    often, twice, once = some(rng, THINGS, 3)
    words = shuffled(rng, [often] * 3 + [twice] * rng.randint(1, 2) + [once])
    return Task(
        (
            f"Which word appears most often: {listed(words)}?",
            f"Find the most frequent word: {listed(words)}",
            f"List: {listed(words)}. Which word is there most often?",
        ),
        (often,),
    )


def decode(rng: random.Random) -> Task:
    pairs = list(zip(some(rng, THINGS, 3), some_numbers(rng, 1, 9, 3), strict=True))
    asked = rng.sample(pairs, 2)
    words = listed([word for word, _ in asked])
    return Task(
        (
            f"Code: {listed([f'{a} = {b}' for a, b in pairs])}. Write as numbers: {words}",
            f"In a code, {joined([f'{a} is {b}' for a, b in pairs])}. Write in this code: {words}",
            f"{' '.join(f'{a.capitalize()}: {b}.' for a, b in pairs)} Write the numbers of {joined(words.split(', '))}.",
        ),
        in_order([number for _, number in asked]),
    )


def age_difference(rng: random.Random) -> Task:
    people = list(zip(some(rng, NAMES, 2), some_numbers(rng, 4, 20, 2), strict=True))
    (younger, low), (older, high) = sorted(people, key=lambda person: person[1])
    return Task(
        (
            f"{joined([f'{name} is {age}' for name, age in people])}. How many years older is {older}?",
            f"Ages: {listed([f'{name} {age}' for name, age in people])}. How many years older is {older}?",
            f"How many years is {older} ({high}) older than {younger} ({low})?",
        ),
        counted(high - low, "year", "years"),
    )


def earliest_time(rng: random.Random) -> Task:
    # All in the morning, so that nobody has to guess the half of the day.
    times = [f"{hour}:{rng.randrange(0, 60, 5):02}" for hour in some_numbers(rng, 7, 11, 3)]
    plan = list(zip(some(rng, ACTIVITIES, 3), times, strict=True))
    first = min(plan, key=lambda pair: int(pair[1].split(":")[0]))[0]
    return Task(
        (
            f"{sentence(joined([f'{a} starts at {b}' for a, b in plan]))} What starts first?",
            f"Times: {listed([f'{a} {b}' for a, b in plan])}. What starts first?",
            f"What starts first: {joined([f'{a} at {b}' for a, b in plan], 'or')}?",
        ),
        (first,),
    )


def sort_down(rng: random.Random) -> Task:
    numbers = _unsorted(rng, some_numbers(rng, 2, 99, 3))
    return Task(
        (
            f"Sort from largest to smallest: {listed(numbers)}",
            f"Put these numbers in order, largest first: {listed(numbers)}",
        ),
        in_order(sorted(numbers, reverse=True)),
    )


def second_largest(rng: random.Random) -> Task:
    numbers = some_numbers(rng, 2, 99, 3, 4)
    return Task(
        (
            f"Which number is the second largest: {listed(numbers)}?",
            f"Numbers: {listed(numbers)}. Write the second largest.",
        ),
        (str(sorted(numbers)[-2]),),
    )


def sum_of_three(rng: random.Random) -> Task:
    counts = [f"{rng.randint(2, 6)} {animals}" for animals in some(rng, FARM_ANIMALS, 3)]
    return Task(
        (
            f"A farm has {joined(counts)}. How many animals does it have?",
            f"Animals: {listed(counts)}. How many animals are there in all?",
        ),
        counted(sum(int(count.split()[0]) for count in counts), "animal", "animals"),
    )


def double_each(rng: random.Random) -> Task:
    numbers = some_numbers(rng, 1, 12, 2, 3)
    return Task(
        (f"Double each number: {listed(numbers)}", f"Numbers: {listed(numbers)}. Double each of them."),
        in_order([2 * number for number in numbers]),
    )


def distinct_words(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3)
    counts = shuffled(rng, [1, 2, rng.randint(1, 2)])
    # Equal words stand together: whichever of them is kept, the order is the same.
    repeated = [word for word, count in zip(words, counts, strict=True) for _ in range(count)]
    return Task(
        (
            f"Write each word only once: {listed(repeated)}",
            f"List: {listed(repeated)}. Write it without repeated words.",
        ),
        in_order(words),
    )


def count_even(rng: random.Random) -> Task:
    even = rng.randint(1, 3)
    numbers = shuffled(rng, rng.sample(range(2, 100, 2), even) + rng.sample(range(1, 100, 2), 4 - even))
    return Task(
        (
            f"How many of these numbers are even: {listed(numbers)}?",
            f"Numbers: {listed(numbers)}. Count the even ones.",
        ),
        counted(even, "number", "numbers"),
    )


def clock_24(rng: random.Random) -> Task:
    hour, minute = rng.randint(1, 11), rng.randrange(0, 60, 5)
    return Task(
        (
            f"Write {hour}:{minute:02} pm in 24-hour time.",
            f"Time: {hour}:{minute:02} pm. What is this on a 24-hour clock?",
        ),
        (f"{hour + 12}:{minute:02}",),
    )


def rounded(rng: random.Random) -> Task:
    tens, ones = rng.randint(1, 98), rng.choice([1, 2, 3, 4, 6, 7, 8, 9])
    number = 10 * tens + ones
    return Task(
        (f"Round {number} to the nearest ten.", f"Number: {number}. Write it rounded to the nearest ten."),
        (str(10 * (tens + (ones > 5))),),
    )


def latest_date(rng: random.Random) -> Task:
    dates = [(month, rng.randint(1, 28)) for month in some_numbers(rng, 1, 12, 3)]
    month, day = max(dates)
    written = [f"{d} {MONTHS[m - 1]}" for m, d in dates]
    return Task(
        (
            f"Which date is the latest in a year: {listed(written)}?",
            f"Dates in 2024: {listed(written)}. Write the latest one.",
        ),
        (f"{day} {MONTHS[month - 1]}", f"{MONTHS[month - 1]} {day}"),
    )


def tallest(rng: random.Random) -> Task:
    a, b, c = some(rng, NAMES, 3)
    first, second = shuffled(rng, [(a, b), (b, c)])
    return Task(
        (
            f"{first[0]} is taller than {first[1]}. {second[0]} is taller than {second[1]}. Who is the tallest?",
            f"Who is the tallest if {first[0]} is taller than {first[1]} and {second[0]} is taller than {second[1]}?",
        ),
        (a,),
    )


def change_due(rng: random.Random) -> Task:
    name, thing, paid = rng.choice(NAMES), rng.choice(GOODS), rng.choice([10, 20])
    price = rng.randint(2, paid - 2)
    return Task(
        (
            f"A {thing} costs ${price}. {name} pays with ${paid}. How much change does {name} get?",
            f"{name} buys a {thing} for ${price} and pays with ${paid}. How much money comes back?",
        ),
        dollars(paid - price),
    )


def swap_ends(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3, 4)
    return Task(
        (
            f"Swap the first and the last word: {listed(words)}",
            f"List: {listed(words)}. Write it with the first and the last word swapped.",
        ),
        in_order([words[-1], *words[1:-1], words[0]]),
    )


def food_on_day(rng: random.Random) -> Task:
    names, days, foods = some(rng, NAMES, 2), some(rng, DAYS, 2), some(rng, FOODS, 4)
    who, day = rng.randrange(2), rng.randrange(2)
    return Task(
        (
            f"{names[0]} eats {foods[0]} on {days[0]} and {foods[1]} on {days[1]}. "
            f"{names[1]} eats {foods[2]} on {days[0]} and {foods[3]} on {days[1]}. "
            f"What does {names[who]} eat on {days[day]}?",
            f"{days[0]}: {names[0]} {foods[0]}, {names[1]} {foods[2]}. "
            f"{days[1]}: {names[0]} {foods[1]}, {names[1]} {foods[3]}. "
            f"What does {names[who]} eat on {days[day]}?",
        ),
        (foods[2 * who + day],),
    )


def place_of_word(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4, 5)
    place = rng.randrange(1, len(words))
    number, word, *_ = counted(place + 1, "", "")
    return Task(
        (
            f"At which place is {words[place]} in this list: {listed(words)}?",
            f"List: {listed(words)}. At which place is {words[place]}?",
        ),
        (number, word, ORDINALS[place], f"{number}{['st', 'nd', 'rd', 'th', 'th'][place]}"),
    )


SEED_TEMPLATES = (
    sort_numbers,
    sort_words,
    reverse_list,
    count_above,
    numbers_above,
    iso_date,
    initials,
    add_to_each,
    most_frequent,
    decode,
    age_difference,
    earliest_time,
)
UNSEEN_TEMPLATES = (
    sort_down,
    second_largest,
    sum_of_three,
    double_each,
    distinct_words,
    count_even,
    clock_24,
    rounded,
    latest_date,
    tallest,
    change_due,
    swap_ends,
    food_on_day,
    place_of_word,
)
