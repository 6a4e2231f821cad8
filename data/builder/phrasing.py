"""How each question form is worded. One wording is drawn for each fact; {x} and {y} are the entities."""

import random

PHRASINGS = {
    "capital_of": ["What is the capital of {x}?", "Which city is the capital of {x}?", "Name the capital of {x}."],
    "country_of_capital": [
        "{x} is the capital of which country?",
        "Which country has {x} as its capital?",
        "Of which country is {x} the capital?",
    ],
    "continent_of": [
        "On which continent is {x}?",
        "Which continent is {x} in?",
        "{x} is a country on which continent?",
    ],
    "currency_of": [
        "What is the currency of {x}?",
        "Which currency is used in {x}?",
        "What money do people pay with in {x}?",
    ],
    "currency_code_of": [
        "What is the three-letter currency code of {x}?",
        "Which ISO currency code belongs to {x}?",
    ],
    "country_of_currency": ["Which country uses the {x}?", "The {x} is the currency of which country?"],
    "iso2_of": ["What is the two-letter country code of {x}?", "Which two-letter ISO code stands for {x}?"],
    "iso3_of": ["What is the three-letter country code of {x}?", "Which three-letter ISO code stands for {x}?"],
    "country_of_iso2": ["Which country has the two-letter code {x}?", "The ISO code {x} stands for which country?"],
    "calling_code_of": [
        "What is the international calling code of {x}?",
        "Which country calling code do you dial for {x}?",
    ],
    "country_of_calling_code": [
        "Which country has the calling code {x}?",
        "The calling code {x} is for which country?",
    ],
    "tld_of": ["What is the internet domain ending of {x}?", "Which internet top-level domain belongs to {x}?"],
    "country_of_tld": ["Which country uses the internet domain {x}?", "The domain {x} belongs to which country?"],
    "language_of": [
        "What is the official language of {x}?",
        "Which language is official in {x}?",
        "Name the official language of {x}.",
    ],
    "endonym_of": [
        'Which country is called "{x}" in its own language?',
        'Whose people call their country "{x}"?',
        'What is the English name of the country "{x}"?',
    ],
    "only_neighbour_of": [
        "Which country is the only land neighbour of {x}?",
        "{x} has a land border with only which country?",
    ],
    "borders_both": ["Which country borders both {x} and {y}?", "Which country shares borders with {x} and {y}?"],
    "largest_city_of": ["What is the most populous city in {x}?", "What is the biggest city of {x}?"],
    "country_of_city": [
        "In which country is {x}?",
        "In which country is the city of {x}?",
        "{x} is a city in which country?",
    ],
    "continent_of_city": ["On which continent is the city of {x}?", "Which continent is {x} on?"],
    "language_of_city": ["What is the official language in {x}?", "Which official language is used in {x}?"],
    "currency_of_city": ["Which currency do you need in {x}?", "What is the local currency in {x}?"],
    "state_of_city": ["In which US state is {x}?", "{x} is a city in which US state?"],
    "abbreviation_of_state": [
        "What is the postal abbreviation of {x}?",
        "What is the two-letter abbreviation for the state of {x}?",
    ],
    "state_of_abbreviation": ["Which US state has the abbreviation {x}?", "{x} is the abbreviation of which US state?"],
    "symbol_of": [
        "What is the chemical symbol for {x}?",
        "What is the symbol of the element {x}?",
        "Which chemical symbol stands for {x}?",
    ],
    "element_of_symbol": [
        "Which element has the symbol {x}?",
        "What element does the symbol {x} stand for?",
        "{x} is the chemical symbol of which element?",
    ],
    "atomic_number_of": ["What is the atomic number of {x}?", "How many protons does an atom of {x} have?"],
    "element_of_number": ["Which element has atomic number {x}?", "Which element has {x} protons?"],
    "next_element": [
        "Which element comes right after {x} in the periodic table?",
        "Which element follows {x} in the periodic table?",
    ],
    "previous_element": ["Which element comes right before {x} in the periodic table?"],
    "atomic_weight_of": ["To the nearest whole number, what is the atomic weight of {x}?"],
    "weekday_in": ["What is the {y} word for {x}?", "How do you say {x} in {y}?"],
    "month_in": ["What is the {y} word for {x}?", "How do you say the month {x} in {y}?"],
    "country_in": ["What is {x} called in {y}?", "What is the {y} name for {x}?"],
    "language_of_endonym": [
        'Which language is called "{x}" by its speakers?',
        'What is the English name of the language "{x}"?',
    ],
    "language_code_of": ["What is the two-letter ISO code of the {x} language?"],
    "language_of_word": ['In which language does "{x}" mean {y}?', '"{x}" means {y} in which language?'],
    "more_people": [
        "Which country has more people, {x} or {y}?",
        "Which is larger in population, {x} or {y}?",
        "Where do more people live, {x} or {y}?",
    ],
    "larger_area": ["Which country is larger in area, {x} or {y}?", "Which covers more land, {x} or {y}?"],
    "bigger_city": ["Which city has more people, {x} or {y}?", "Which city is more populous, {x} or {y}?"],
    "heavier_atom": ["Which has heavier atoms, {x} or {y}?", "Which element is heavier per atom, {x} or {y}?"],
    "further_north": ["Which city is further north, {x} or {y}?", "Which city lies more to the north, {x} or {y}?"],
    "country_in_continent": ["Which of these countries is in {x}: {y}?", "Which one is in {x}: {y}?"],
    "which_borders": ["Which of these countries borders {x}: {y}?", "Which one is a neighbour of {x}: {y}?"],
}

# Forms that name the possible answers; their share of a file is limited.
CHOICE_FORMS = (
    "more_people",
    "larger_area",
    "bigger_city",
    "heavier_atom",
    "further_north",
    "country_in_continent",
    "which_borders",
)


def ask(form: str, rng: random.Random, x: object, y: object = "") -> str:
    """The question of a form about x (and y), in a wording drawn with rng; the first letter is a capital."""
    question = rng.choice(PHRASINGS[form]).format(x=x, y=y)
    return question[0].upper() + question[1:] if question.startswith("the ") else question
