"""Text tasks of difficulty 2: one step over a short list: compare, count, take out, put in."""

import random

from builder.text_words import (
    ACTIVITIES,
    CITIES,
    COLORS,
    COMPOUNDS,
    DAYS,
    GOODS,
    LONG_WORDS,
    NAMES,
    ORDINALS,
    PLURALS,
    THINGS,
    Task,
    counted,
    dollars,
    in_order,
    joined,
    listed,
    number_word,
    shuffled,
    some,
    some_numbers,
    unlike_words,
)


def largest_number(rng: random.Random) -> Task:
    numbers = some_numbers(rng, 2, 99, 3, 4)
    return Task(
        (
            f"Which number is the largest: {listed(numbers)}?",
            f"Write the largest of these numbers: {listed(numbers)}",
            f"Numbers: {listed(numbers)}. Which is the largest?",
        ),
        (str(max(numbers)),),
    )


def smallest_number(rng: random.Random) -> Task:
    numbers = some_numbers(rng, 2, 99, 3, 4)
    return Task(
        (
            f"Which number is the smallest: {listed(numbers)}?",
            f"Write the smallest of these numbers: {listed(numbers)}",
            f"Numbers: {listed(numbers)}. Which is the smallest?",
        ),
        (str(min(numbers)),),
    )


def count_words(rng: random.Random) -> Task:
    words = some(rng, THINGS, 2, 6)
    return Task(
        (
            f"How many words are in this list: {listed(words)}?",
            f"Count the words: {listed(words)}",
            f"List: {listed(words)}. How many words does it have?",
        ),
        counted(len(words), "word", "words"),
    )


def times_in_list(rng: random.Random) -> Task:
    word, *others = some(rng, THINGS, 3, 4)
    times = rng.randint(2, 4)
    words = shuffled(rng, [word] * times + others)
    spellings = counted(times, "time", "times")
    return Task(
        (
            f"How many times does {word} appear: {listed(words)}?",
            f"Count how often {word} is in this list: {listed(words)}",
            f"List: {listed(words)}. How many times does it have {word}?",
        ),
        (*spellings, "twice") if times == 2 else spellings,
    )


def word_at_place(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4, 5)
    place = rng.randrange(1, len(words) - 1)
    return Task(
        (
            f"Which word is {ORDINALS[place]} in this list: {listed(words)}?",
            f"Write the {ORDINALS[place]} word of this list: {listed(words)}",
            f"List: {listed(words)}. What is the {ORDINALS[place]} word?",
        ),
        (words[place],),
    )


def odd_word_out(rng: random.Random) -> Task:
    often, once = some(rng, THINGS, 2)
    words = shuffled(rng, [often] * rng.randint(3, 4) + [once])
    return Task(
        (
            f"Which word is there only once: {listed(words)}?",
            f"Find the word that differs: {listed(words)}",
            f"List: {listed(words)}. Which word is different?",
        ),
        (once,),
    )


def oldest(rng: random.Random) -> Task:
    people = list(zip(rng.sample(NAMES, 3), some_numbers(rng, 4, 80, 3), strict=True))
    return Task(
        (
            f"{joined([f'{name} is {age}' for name, age in people])}. Who is the oldest?",
            f"Ages: {listed([f'{name} {age}' for name, age in people])}. Who is the oldest?",
            f"Who is the oldest: {joined([f'{name} ({age})' for name, age in people], 'or')}?",
        ),
        (max(people, key=lambda person: person[1])[0],),
    )


def cheapest(rng: random.Random) -> Task:
    goods = list(zip(rng.sample(GOODS, 3), some_numbers(rng, 2, 60, 3), strict=True))
    return Task(
        (
            f"Prices: {listed([f'{thing} ${price}' for thing, price in goods])}. Which is the cheapest?",
            f"What costs the least: {joined([f'a {thing} for ${price}' for thing, price in goods], 'or')}?",
            f"{' '.join(f'{thing.capitalize()}: ${price}.' for thing, price in goods)} Which costs the least?",
        ),
        (min(goods, key=lambda pair: pair[1])[0],),
    )


def in_both_lists(rng: random.Random) -> Task:
    shared, *others = some(rng, THINGS, 5)
    first, second = shuffled(rng, [shared, *others[:2]]), shuffled(rng, [shared, *others[2:]])
    return Task(
        (
            f"First list: {listed(first)}. Second list: {listed(second)}. Which word is in both?",
            f"Find the word in both lists: {listed(first)}; {listed(second)}",
            f"Which word do these lists share: {listed(first)} and {listed(second)}?",
        ),
        (shared,),
    )


def remove_word(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3, 4)
    word = rng.choice(words)
    return Task(
        (
            f"Remove {word} from this list: {listed(words)}",
            f"Write this list without {word}: {listed(words)}",
            f"List: {listed(words)}. Write it without {word}.",
        ),
        in_order([other for other in words if other != word]),
    )


def replace_word(rng: random.Random) -> Task:
    new, *words = some(rng, THINGS, 4)
    old = rng.choice(words)
    return Task(
        (
            f"Change {old} to {new} in this list: {listed(words)}",
            f"Write {new} in place of {old}: {listed(words)}",
            f"List: {listed(words)}. Write it with {new} in place of {old}.",
        ),
        in_order([new if word == old else word for word in words]),
    )


def price_together(rng: random.Random) -> Task:
    (first, second), (p, q) = some(rng, GOODS, 2), (rng.randint(2, 12), rng.randint(2, 12))
    return Task(
        (
            f"A {first} costs ${p} and a {second} costs ${q}. How much do both cost?",
            f"Prices: {first} ${p}, {second} ${q}. How much are both together?",
            f"What do a {first} for ${p} and a {second} for ${q} cost together?",
        ),
        dollars(p + q),
    )


def ends_with(rng: random.Random) -> Task:
    words = unlike_words(rng, -1, 3, 4)
    word = rng.choice(words)
    return Task(
        (
            f"Which word ends with {word[-1]}: {listed(words)}?",
            f"Words: {listed(words)}. Which one ends with {word[-1]}?",
        ),
        (word,),
    )


def missing_word(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4)
    missing = rng.choice(words)
    others = shuffled(rng, [word for word in words if word != missing])
    return Task(
        (
            f"First list: {listed(words)}. Second list: {listed(others)}. Which word is missing?",
            f"Which word is only in the first list: {listed(words)}; {listed(others)}?",
        ),
        (missing,),
    )


def youngest(rng: random.Random) -> Task:
    people = list(zip(rng.sample(NAMES, 3), some_numbers(rng, 4, 80, 3), strict=True))
    return Task(
        (
            f"{joined([f'{name} is {age}' for name, age in people])}. Who is the youngest?",
            f"Ages: {listed([f'{name} {age}' for name, age in people])}. Who is the youngest?",
        ),
        (min(people, key=lambda person: person[1])[0],),
    )


def most_points(rng: random.Random) -> Task:
    people = list(zip(rng.sample(NAMES, 3), some_numbers(rng, 2, 60, 3), strict=True))
    return Task(
        (
            f"{joined([f'{name} has {points} points' for name, points in people])}. Who has the most points?",
            f"Points: {listed([f'{name} {points}' for name, points in people])}. Who has the most?",
        ),
        (max(people, key=lambda person: person[1])[0],),
    )


def even_number(rng: random.Random) -> Task:
    even = rng.randrange(2, 100, 2)
    numbers = shuffled(rng, [even, *rng.sample(range(3, 100, 2), rng.randint(2, 3))])
    return Task(
        (
            f"Which number is even: {listed(numbers)}?",
            f"Numbers: {listed(numbers)}. Only one is even. Which one?",
        ),
        (str(even),),
    )


def longest_word(rng: random.Random) -> Task:
    longest = rng.choice(LONG_WORDS)
    words = shuffled(rng, [longest, *rng.sample([thing for thing in THINGS if len(thing) < 6], 2)])
    return Task(
        (
            f"Which word has the most letters: {listed(words)}?",
            f"Write the longest word of this list: {listed(words)}",
        ),
        (longest,),
    )


def first_and_last(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4, 5)
    return Task(
        (
            f"Write the first and the last word: {listed(words)}",
            f"List: {listed(words)}. Write the first and the last word.",
        ),
        in_order([words[0], words[-1]]),
    )


def all_but_first(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3, 4)
    return Task(
        (
            f"Write this list without its first word: {listed(words)}",
            f"List: {listed(words)}. Write all words but the first.",
        ),
        in_order(words[1:]),
    )


def add_at_end(rng: random.Random) -> Task:
    new, *words = some(rng, THINGS, 3, 4)
    return Task(
        (
            f"Add {new} at the end of this list: {listed(words)}",
            f"List: {listed(words)}. Write it with {new} added at the end.",
        ),
        in_order([*words, new]),
    )


def change_name(rng: random.Random) -> Task:
    old, new = some(rng, NAMES, 2)
    rest = rng.choice(
        [
            f"likes {rng.choice(COLORS)} {rng.choice(PLURALS)}",
            f"bought {rng.randint(2, 20)} {rng.choice(PLURALS)}",
            f"went to {rng.choice(CITIES)} on {rng.choice(DAYS)}",
            f"plays {rng.choice(['chess', 'tennis', 'football', 'hockey'])} on {rng.choice(DAYS)}",
        ]
    )
    return Task(
        (
            f"Write this sentence with {new} in place of {old}: {old} {rest}.",
            f"Change {old} to {new}: {old} {rest}.",
        ),
        (f"{new} {rest}.",),
    )


def join_words(rng: random.Random) -> Task:
    first, second = rng.choice(COMPOUNDS)
    return Task(
        (f"Write {first} and {second} as one word.", f"Join these two words into one: {first}, {second}"),
        (f"{first}{second}",),
    )


def who_is_missing(rng: random.Random) -> Task:
    names = some(rng, NAMES, 3, 4)
    missing = rng.choice(names)
    others, activity = shuffled(rng, [name for name in names if name != missing]), rng.choice(ACTIVITIES)
    return Task(
        (
            f"{joined(names)} signed up for {activity}. {joined(others)} came. Who did not come?",
            f"Invited to {activity}: {listed(names)}. Came: {listed(others)}. Who is missing?",
        ),
        (missing,),
    )


def digits_of(rng: random.Random) -> Task:
    number = rng.randint(21, 99)
    return Task(
        (
            f"Write the number {number_word(number)} in digits.",
            f"Number: {number_word(number)}. Write it with digits.",
        ),
        (str(number),),
    )


SEED_TEMPLATES = (
    largest_number,
    smallest_number,
    count_words,
    times_in_list,
    word_at_place,
    odd_word_out,
    oldest,
    cheapest,
    in_both_lists,
    remove_word,
    replace_word,
    price_together,
)
UNSEEN_TEMPLATES = (
    ends_with,
    missing_word,
    youngest,
    most_points,
    even_number,
    longest_word,
    first_and_last,
    all_but_first,
    add_at_end,
    change_name,
    join_words,
    who_is_missing,
    digits_of,
)
