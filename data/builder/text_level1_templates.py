"""Text tasks of difficulty 1: the answer stands in the prompt and is found by its place, its key or its kind."""

import random

from builder.text_words import (
    ACTIONS,
    ACTIVITIES,
    ANIMALS,
    CITIES,
    COLORS,
    DAYS,
    DEEDS,
    GOODS,
    HOLDERS,
    LAST_NAMES,
    MONTHS,
    NAMES,
    NUMBER_WORDS,
    ORDINALS,
    PLURALS,
    SMALL_THINGS,
    THINGS,
    Task,
    dollars,
    in_order,
    joined,
    listed,
    sentence,
    shuffled,
    some,
    unlike_words,
)


def _pairs(rng: random.Random, keys: list[str], values: list) -> tuple[list[tuple], tuple]:
    """Three keys with their values, and the pair that is asked for."""
    pairs = list(zip(rng.sample(keys, 3), rng.sample(values, 3), strict=True))
    return pairs, rng.choice(pairs)


def first_word(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3, 5)
    return Task(
        (
            f"Which word is first in this list: {listed(words)}?",
            f"Write the first word of this list: {listed(words)}",
            f"List: {listed(words)}. What is the first word?",
        ),
        (words[0],),
    )


def last_word(rng: random.Random) -> Task:
    words = some(rng, THINGS, 3, 5)
    return Task(
        (
            f"Which word is last in this list: {listed(words)}?",
            f"Write the last word of this list: {listed(words)}",
            f"List: {listed(words)}. What is the last word?",
        ),
        (words[-1],),
    )


def next_word(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4, 5)
    place = rng.randrange(len(words) - 1)
    return Task(
        (
            f"Which word comes right after {words[place]}: {listed(words)}?",
            f"Write the word right after {words[place]}: {listed(words)}",
            f"List: {listed(words)}. Which word comes right after {words[place]}?",
        ),
        (words[place + 1],),
    )


def color_of(rng: random.Random) -> Task:
    pairs, (name, color) = _pairs(rng, NAMES, COLORS)
    return Task(
        (
            f"{joined([f'{a} likes {b}' for a, b in pairs])}. Which color does {name} like?",
            f"Favorite colors: {listed([f'{a} {b}' for a, b in pairs])}. What is {name}'s favorite color?",
            f"{' '.join(f'{a}: {b}.' for a, b in pairs)} Which color does {name} have?",
        ),
        (color,),
    )


def who_has(rng: random.Random) -> Task:
    pairs, (name, thing) = _pairs(rng, NAMES, GOODS)
    return Task(
        (
            f"{joined([f'{a} has the {b}' for a, b in pairs])}. Who has the {thing}?",
            f"{joined([f'{a} took the {b}' for a, b in pairs])}. Who took the {thing}?",
            f"{' '.join(f'{b.capitalize()}: {a}.' for a, b in pairs)} Who has the {thing}?",
        ),
        (name,),
    )


def price_of(rng: random.Random) -> Task:
    pairs, (thing, price) = _pairs(rng, GOODS, range(2, 60))
    return Task(
        (
            f"Prices: {listed([f'{a} ${b}' for a, b in pairs])}. What does the {thing} cost?",
            f"{sentence(joined([f'the {a} is ${b}' for a, b in pairs]))} How much is the {thing}?",
            f"{' '.join(f'{a.capitalize()}: ${b}.' for a, b in pairs)} What is the price of the {thing}?",
        ),
        dollars(price),
    )


def day_of(rng: random.Random) -> Task:
    pairs, (activity, day) = _pairs(rng, ACTIVITIES, DAYS)
    return Task(
        (
            f"{sentence(joined([f'{a} is on {b}' for a, b in pairs]))} On which day is {activity}?",
            f"Plan: {listed([f'{b} {a}' for a, b in pairs])}. On which day is {activity}?",
            f"{' '.join(f'{a.capitalize()}: {b}.' for a, b in pairs)} When is {activity}?",
        ),
        (day, f"on {day}"),
    )


def number_in_sentence(rng: random.Random) -> Task:
    name, things, day, number = rng.choice(NAMES), rng.choice(PLURALS), rng.choice(DAYS), rng.randint(2, 99)
    text = rng.choice(
        [
            f"{name} bought {number} {things} on {day}.",
            f"On {day} {name} scored {number} points.",
            f"The shop has {number} {things}.",
            f"{name} counted {number} {things}.",
            f"Bus {number} goes to {rng.choice(CITIES)}.",
        ]
    )
    return Task(
        (
            f"Which number is named? {text}",
            f"Write only the number: {text}",
            f"Find the number: {text}",
        ),
        (str(number),),
    )


def name_in_sentence(rng: random.Random) -> Task:
    name, thing, animal, day = rng.choice(NAMES), rng.choice(SMALL_THINGS), rng.choice(ANIMALS), rng.choice(DAYS)
    text = rng.choice(
        [
            f"On {day} {name} fed the {animal}.",
            f"The {thing} belongs to {name}.",
            f"Yesterday {name} lost the {thing}.",
            f"In the park {name} saw the {animal}.",
            f"{name} found the {thing} on {day}.",
        ]
    )
    return Task(
        (
            f"Who is named here? {text}",
            f"Who is this about? {text}",
            f"Find the person: {text}",
        ),
        (name,),
    )


def year_of_date(rng: random.Random) -> Task:
    date = f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {(year := rng.randint(1950, 2025))}"
    return Task(
        (
            f"The shop opened on {date}. In which year did it open?",
            f"Write only the year: {date}",
            f"Date: {date}. What is the year?",
        ),
        (str(year),),
    )


def last_name_of(rng: random.Random) -> Task:
    pairs, (first, last) = _pairs(rng, NAMES, LAST_NAMES)
    people = [f"{a} {b}" for a, b in pairs]
    return Task(
        (
            f"{joined(people)} are here. What is {first}'s last name?",
            f"Names: {listed(people)}. What is {first}'s last name?",
            f"Find the last name of {first}: {listed(people)}",
        ),
        (last,),
    )


def starts_with(rng: random.Random) -> Task:
    words = unlike_words(rng, 0, 3, 4)
    word = rng.choice(words)
    return Task(
        (
            f"Which word starts with {word[0]}: {listed(words)}?",
            f"Find the word that starts with {word[0]}: {listed(words)}",
            f"Words: {listed(words)}. Which one starts with {word[0]}?",
        ),
        (word,),
    )


def word_before(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4, 5)
    place = rng.randrange(1, len(words))
    return Task(
        (
            f"Which word comes right before {words[place]}: {listed(words)}?",
            f"List: {listed(words)}. Which word comes right before {words[place]}?",
        ),
        (words[place - 1],),
    )


def first_two_words(rng: random.Random) -> Task:
    words = some(rng, THINGS, 4, 5)
    return Task(
        (
            f"Write the first two words of this list: {listed(words)}",
            f"List: {listed(words)}. What are the first two words?",
        ),
        in_order(words[:2]),
    )


def city_of(rng: random.Random) -> Task:
    pairs, (name, city) = _pairs(rng, NAMES, CITIES)
    return Task(
        (
            f"{joined([f'{a} lives in {b}' for a, b in pairs])}. Where does {name} live?",
            f"Homes: {listed([f'{a} in {b}' for a, b in pairs])}. In which city does {name} live?",
        ),
        (city, f"in {city}"),
    )


def who_did(rng: random.Random) -> Task:
    pairs, (name, deed) = _pairs(rng, NAMES, DEEDS)
    return Task(
        (
            f"{joined([f'{a} {b}' for a, b in pairs])}. Who {deed}?",
            f"Who {deed}? {joined([f'{a} {b}' for a, b in pairs])}.",
        ),
        (name,),
    )


def room_of(rng: random.Random) -> Task:
    pairs, (name, room) = _pairs(rng, NAMES, range(1, 100))
    return Task(
        (
            f"{joined([f'{a} is in room {b}' for a, b in pairs])}. In which room is {name}?",
            f"Rooms: {listed([f'{a} {b}' for a, b in pairs])}. What is {name}'s room?",
        ),
        (str(room), f"room {room}", f"in room {room}"),
    )


def day_in_sentence(rng: random.Random) -> Task:
    name, day, number = rng.choice(NAMES), rng.choice(DAYS), rng.randint(2, 20)
    text = rng.choice(
        [
            f"{name} bought {number} {rng.choice(PLURALS)} on {day}.",
            f"On {day} {name} went to {rng.choice(CITIES)}.",
            f"The shop is closed every {day} from {number} August.",
        ]
    )
    return Task(
        (
            f"Which day of the week is named? {text}",
            f"Write the day of the week: {text}",
        ),
        (day,),
    )


def color_in_sentence(rng: random.Random) -> Task:
    name, color, thing = rng.choice(NAMES), rng.choice(COLORS), rng.choice(GOODS)
    text = rng.choice(
        [
            f"{name} bought the {color} {thing} on {rng.choice(DAYS)}.",
            f"The {thing} in the {rng.choice(HOLDERS)} is {color}.",
            f"Yesterday {name} painted the {thing} {color}.",
        ]
    )
    return Task(
        (f"Which color is named here? {text}", f"Write only the color: {text}"),
        (color,),
    )


def month_of_date(rng: random.Random) -> Task:
    date = f"{rng.randint(1, 28)} {(month := rng.choice(MONTHS))} {rng.randint(1950, 2025)}"
    return Task(
        (
            f"The school opened on {date}. In which month did it open?",
            f"Write only the month: {date}",
        ),
        (month, f"in {month}"),
    )


def user_of_address(rng: random.Random) -> Task:
    user = f"{rng.choice(NAMES).lower()}{rng.randint(10, 99)}"
    address = f"{user}@{rng.choice(['mail', 'post', 'home', 'work'])}.{rng.choice(['com', 'net', 'org'])}"
    return Task(
        (f"What stands before the @ in {address}?", f"Write the part before the @: {address}"),
        (user,),
    )


def meaning_of(rng: random.Random) -> Task:
    pairs, (color, action) = _pairs(rng, COLORS, ACTIONS)
    return Task(
        (
            f"In a game, {joined([f'{a} means {b}' for a, b in pairs])}. What does {color} mean?",
            f"Rules: {listed([f'{a} = {b}' for a, b in pairs])}. What does {color} mean?",
        ),
        (action,),
    )


def place_in_race(rng: random.Random) -> Task:
    pairs = list(zip(rng.sample(NAMES, 3), shuffled(rng, ORDINALS[:3]), strict=True))
    name, place = rng.choice(pairs)
    return Task(
        (
            f"{joined([f'{a} came {b}' for a, b in pairs])}. Who came {place}?",
            f"Race: {listed([f'{a} {b}' for a, b in pairs])}. Who was {place}?",
        ),
        (name,),
    )


def what_is_in(rng: random.Random) -> Task:
    pairs, (thing, holder) = _pairs(rng, [thing for thing in SMALL_THINGS if thing not in HOLDERS], HOLDERS)
    return Task(
        (
            f"{sentence(joined([f'the {a} is in the {b}' for a, b in pairs]))} What is in the {holder}?",
            f"{' '.join(f'{b.capitalize()}: {a}.' for a, b in pairs)} What is in the {holder}?",
        ),
        (thing,),
    )


def repeat_word(rng: random.Random) -> Task:
    word, times = rng.choice(THINGS), rng.randint(2, 4)
    return Task(
        (
            f"Write the word {word} {NUMBER_WORDS[times]} times.",
            f"Word: {word}. Write it {NUMBER_WORDS[times]} times.",
        ),
        (" ".join([word] * times),),
    )


SEED_TEMPLATES = (
    first_word,
    last_word,
    next_word,
    color_of,
    who_has,
    price_of,
    day_of,
    number_in_sentence,
    name_in_sentence,
    year_of_date,
    last_name_of,
    starts_with,
)
UNSEEN_TEMPLATES = (
    word_before,
    first_two_words,
    city_of,
    who_did,
    room_of,
    day_in_sentence,
    color_in_sentence,
    month_of_date,
    user_of_address,
    meaning_of,
    place_in_race,
    what_is_in,
    repeat_word,
)
