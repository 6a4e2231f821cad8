"""Labels for synthetic word problems: is a prompt a well-formed problem, what is its answer, which responses are right.

python benchmarks/label_rows.py            label .work/rows/word_problem_rows.jsonl, write labelled/word_problems.jsonl
python benchmarks/label_rows.py --check    the solver against every shipped problem of the templates that it knows

The solver knows nothing of responses, nor of the rules under test: a prompt must be one of the shipped templates
(`data/builder/`) word for word, with the same noun wherever the template repeats one, and the template's formula gives the
answer.

    "A bowl holds 5 apples, 7 pears and 4 plums. How many fruits are in the bowl?"    mixed_bowl: a + b + c = 16

Prompts that it cannot read were labelled by hand, once, in `labelled/by_hand.json`. No answer (null) means that the prompt
has none that careful readers would agree on; then every response is wrong.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from fractions import Fraction

from harness import HERE, ROOT, WORK
from sample_rows import ROWS_FILE

BY_HAND, LABELLED = HERE / "labelled" / "by_hand.json", HERE / "labelled" / "word_problems.jsonl"

# {a} to {e} are numbers, {P} to {R} people, {he} is any pronoun, other capitals are one to three words; <x|y> is either. Beside the
# shipped templates stand those that the teacher makes of them: off in place of on, younger in place of older.
LINES = """
gets_twice | {P} has {a} {T}, gets {b} more and finds {c}. How many {T} does {he} have <now|in all>? | a + b + c
three_friends | {P} has {a} {T}, {Q} has {b} and {R} has {c}. How many {T} do they have <in all|together>? | a + b + c
three_days | {P} {V} {a} {T} on {D}, {b} on {E} and {c} on {F}. How many {T} does {he} {W}? | a + b + c
mixed_bowl | A {H} holds {a} {T}, {b} {U} and {c} {X}. How many fruits are in the {H}? | a + b + c
two_stops | {a} people are on a {H}. First {b} get on, then {c} more. How many people are on the {H} now? | a + b + c
two_get_off | {a} people are on a {H}. First {b} get off, then {c} more. How many people are on the {H} now? | a - b - c
buys_three | {P} buys a {T} for ${a}, a {U} for ${b} and a {X} for ${c}. How much does {he} pay? | a + b + c
buys_then_eats | {P} has {a} {T} and buys {b} more. {he} eats {c}. How many {T} are left? | a + b - c
gives_then_gets | {P} has {a} {T} and gives {b} to {Q}. Then {he} finds {c} more. How many {T} does {P} have now? | a - b + c
has_more_together | {P} has {a} {T}. {Q} has {b} more than {P}. How many {T} do they have <together|in all>? | a + a + b
has_fewer_together | {P} has {a} {T}. {Q} has {b} fewer than {P}. How many {T} do they have <together|in all>? | a + a - b
bus_stop | There are {a} people on a {H}. Then {b} get off and {c} get on. How many people are on the {H}< now|>? | a - b + c
on_then_off | There are {a} people on a {H}. Then {b} get on and {c} get off. How many people are on the {H}< now|>? | a + b - c
leaves_in_two_groups | There are {a} {T} <in|on> a {H}. First {b} {V} away, then {c} more. How many {T} are still there? | a - b - c
three_colors | A {H} holds {a} {C}, {b} {D} and {c} {E} {T}. How many {T} are in the {H}? | a + b + c
spends_twice | {P} has ${a}. {he} buys a {T} for ${b} and a {U} for ${c}. How much money is left? | a - b - c
reaches_a_goal | {P} wants to {V} {a} {T}. {he} {W} {b} on {D} and {c} on {E}. How many {T} are left to {V}? | a - b - c
who_is_absent | A {H} has {a} girls and {b} boys. Today {c} are sick at home. How many children are there today? | a + b - c
ages_in_a_chain | {P} is {a} years old. {Q} is {b} years older, and {R} is {c} years younger than {Q}. How old is {R}? | a + b - c
ages_both_older | {P} is {a} years old. {Q} is {b} years older, and {R} is {c} years older than {Q}. How old is {R}? | a + b + c
ages_both_younger | {P} is {a} years old. {Q} is {b} years younger, and {R} is {c} years younger than {Q}. How old is {R}? | a - b - c
lift_floors | {P} gets in a lift on floor {a}. It goes up {b} floors and then down {c}. On which floor is {he}? | a + b - c
lift_down_up | {P} gets in a lift on floor {a}. It goes down {b} floors and then up {c}. On which floor is {he}? | a - b + c
more_than_yesterday | {P} {V} {a} {T} in the morning and {b} at night. Yesterday {he} {W} {c}. How many more did {he} {X} today? | a + b - c
compares_after_adding | A {H} has {a} {T} and {b} {U}. Someone adds {c} {U}. How many more {T} than {U} are there now? | a - b - c
compares_after_first | A {H} has {a} {T} and {b} {U}. Someone adds {c} {T}. How many more {T} than {U} are there now? | a + c - b
how_many_at_first | {P} gives away {a} {T} and loses {b}. Now {he} has {c} {T}. How many {T} did {he} have at first? | a + b + c
shares_and_compares | {P} had {a} {T} but lost {b} of them. {Q} has {c} {T}. How many more {T} does {P} have than {Q}? | a - b - c
packs_then_gives | {P} buys {a} {H} of {T} with {b} in each. {he} gives {c} {T} to {Q}. How many {T} are left? | a * b - c
packs_and_loose | {P} has {a} {H} with {b} {T} each, and {c} loose {T}. How many {T} does {he} have? | a * b + c
joins_then_shares | {P} brings {a} {T} and {Q} brings {b}. They share them equally among {c} children. How many {T} does each child get? | (a + b) / c
two_kinds_of_price | {P} buys {a} {T} for ${b} each and {c} {U} for ${d} each. How many dollars does {he} pay? | a * b + c * d
change_from_a_bill | {P} buys {a} {T} for ${b} each. {he} pays with ${c}. How much change does {he} get? | c - a * b
times_as_many_together | {P} has {a} {T}. {Q} has {b} times as many. How many {T} do they have together? | a + a * b
free_seats | A {H} has {a} rows of {b} seats. {c} seats are taken. How many seats are free? | a * b - c
saves_every_week | {P} has ${a} and saves ${b} a week. How many dollars does {he} have after {c} weeks? | a + b * c
shares_then_eats | {a} friends share {b} {T} equally. Each friend eats {c}. How many {T} does each friend have left? | b / a - c
counts_legs | A farm has {a} {T} with {b} legs and {c} {U} with {d} legs. How many legs do they have in all? | a * b + c * d
packs_and_sells | {P} packs {a} {T} into {H} of {b}. {he} sells {c} of the {H}. How many {H} are left? | a / b - c
repacks | The {T} from {a} {H} of {b} are put into {c} {G} equally. How many {T} go into each {X}? | a * b / c
works_more_hours | {P} works {a} hours a day for {b} days. {Q} works {c} hours in all. How many more hours does {P} work? | a * b - c
gives_half | {P} has {a} {T} and gives half of them to {Q}. Then {he} gets {b} more. How many {T} does {P} have? | a / 2 + b
two_items_and_change | {P} buys {a} {T} for ${b} each and one {U} for ${c}. {he} pays with ${d}. How much change does {he} get? | d - a * b - c
eggs_of_several_days | A farmer has {a} hens. Each hen lays {b} eggs a day. After {c} days, {d} eggs have broken. How many good eggs are there? | a * b * c - d
trays_without_the_bad_ones | A baker fills {a} trays with {b} {T} each. {c} burn, and the rest go into {H} of {d}. How many {H} does the baker fill? | (a * b - c) / d
chain_of_comparisons | {P} has {a} {T}. {Q} has {b} times as many as {P}. {R} has {c} more than {Q}. How many {T} do {Q} and {R} have together? | 2 * a * b + c
two_days_of_wages | {P} works {a} hours on {D} for ${b} an hour and {c} hours on {E} for ${d} an hour. How much does {he} earn? | a * b + c * d
empty_chairs | A {H} has {a} tables with {b} chairs each and {c} more chairs. {d} people sit down. How many chairs are empty? | a * b + c - d
miles_still_to_go | {P} plans a {a}-mile hike. {he} walks {b} miles a day for {c} days and then {d} miles. How many miles are left? | a - b * c - d
keeps_some_then_shares | {P} keeps {a} of <his|her> {b} {T} and shares the rest equally among {c} friends. {Q}, one of them, already had {d}. How many {T} does {Q} have now? | (b - a) / c + d
cheaper_by_the_piece | {T} cost ${a}, but today each is ${b} off. {P} orders {c} and pays ${d} for shipping. How much does {he} pay? | (a - b) * c + d
percent_off | {P} buys {a} {T} that cost ${b} each. The store takes {c}% off the total. How many dollars does {he} pay? | a * b * (100 - c) / 100
half_then_a_third | {P} reads half of a {a}-page book on {D}. On {E} {he} reads a third of the rest. How many pages are left to read? | a / 2 * 2 / 3
half_then_a_quarter | {P} reads half of a {a}-page book on {D}. On {E} {he} reads a quarter of the rest. How many pages are left to read? | a / 2 * 3 / 4
half_then_a_fifth | {P} reads half of a {a}-page book on {D}. On {E} {he} reads a fifth of the rest. How many pages are left to read? | a / 2 * 4 / 5
overtime_after_tax | {P} earns ${a} an hour for {b} hours, and ${c} more per hour for {d} extra hours. {he} pays ${e} in tax. How many dollars does {he} keep? | a * b + (a + c) * d - e
sells_what_is_left | {P}'s ducks lay {a} eggs a day. {he} eats {b}, bakes with {c} and sells the rest for ${d} each. How many dollars does {he} make in {e} days? | (a - b - c) * d * e
fills_with_a_leak | A {a}-liter tank holds {b} liters. A pipe adds {c} liters a minute while a leak loses {d}. How many more liters fit after {e} minutes? | a - b - (c - d) * e
buses_for_a_trip | {a} classes of {b} students and {c} teachers go on a trip. A bus has {d} seats and costs ${e}. How many dollars do the full buses cost? | (a * b + c) / d * e
weeks_to_a_goal | A {T} costs ${a}. {P} has ${b}. Each week {he} gets ${c} and spends ${d} of it. In how many weeks can {he} buy the {T}? | (a - b) / (c - d)
percent_of_the_school | A {H} has {a} students. {b}% {V} to school and the others come by car. How many more students come by car than {V}? | a - 2 * a * b / 100
ages_in_some_years | {P} is {a} years old and <his|her> {X} is {b} times as old. What will the sum of their ages be in {c} years? | a + a * b + 2 * c
"""
PRONOUN, NUMBER, NAME, WORDS = "(?:he|she|it|they|He|She|It|They)", r"\d+", "[A-Z][a-z]+", "[A-Za-z]+(?: [a-z]+){0,2}"
DISTINCT = ("PQR", "TUX")


@dataclass(frozen=True)
class Template:
    name: str
    prompt: re.Pattern
    formula: str

    def answer(self, prompt: str) -> Fraction | None:
        """What its formula gives, or None where the prompt is not of this template."""
        match = self.prompt.fullmatch(prompt)
        if match is None:
            return None
        slots = match.groupdict()
        for kind in DISTINCT:  # "Tom has 3 pens. Tom has 2 more than Tom." is no such problem
            filled = [slots[letter].lower() for letter in kind if letter in slots]
            if len(filled) != len(set(filled)):
                return None
        return eval(self.formula, {}, {letter: Fraction(slots[letter]) for letter in "abcde" if letter in slots})


def read_template(line: str) -> Template:
    name, prompt, formula = line.split(" | ")
    expression, seen = "", set()
    for literal, slot in re.findall(r"([^{}]*)(?:\{(\w+)\})?", prompt):
        expression += re.sub(r"<([^<>]*?)\\\|([^<>]*?)>", r"(?:\1|\2)", re.escape(literal))
        if slot == "he":
            expression += PRONOUN
        elif slot in seen:
            expression += f"(?P={slot})"
        elif slot:
            kind = NUMBER if slot.islower() else NAME if slot in "PQR" else WORDS
            expression += f"(?P<{slot}>{kind})"
            seen.add(slot)
    return Template(name, re.compile(expression), formula)


TEMPLATES = [read_template(line) for line in LINES.strip().splitlines()]


def solve(prompt: str) -> tuple[str, Fraction] | None:
    """The template of a prompt and its answer; None where no template reads it."""
    for template in TEMPLATES:
        try:
            answer = template.answer(" ".join(prompt.split()))
        except ZeroDivisionError:
            continue
        if answer is not None:
            return template.name, answer
    return None


def label(row: dict, by_hand: dict[str, str | None]) -> dict | None:
    """A sampled row with its labels, or None where neither the solver reads the prompt nor a label by hand is there.

    A problem whose answer is negative or broken is none that a reader would call well formed: it has no answer.
    """
    from nomad_assets.recipe.generation.synthesis import final_answer

    prompt = row["prompt"]
    if solved := solve(prompt):
        how, expected = solved[0], str(solved[1]) if solved[1] >= 0 and solved[1].denominator == 1 else None
    elif prompt in by_hand:
        how, expected = "by hand", by_hand[prompt]
    else:
        return None
    answers = [None if text is None else final_answer(text) for text in row["responses"]]
    responses = [
        {"response": text, "right": expected is not None and _number(answer) == Fraction(expected)}
        for text, answer in zip(row["responses"], answers, strict=True)
    ]
    return {"id": row["attempt"], "prompt": prompt, "answer": expected, "labelled_by": how, "responses": responses}


def _number(answer: str | None) -> Fraction | None:
    return Fraction(answer) if answer and re.fullmatch(r"-?\d+(?:\.\d+)?", answer) else None


def check() -> int:
    """How many shipped problems of known templates get another answer than theirs, each of them printed."""
    known, wrong, read = {template.name for template in TEMPLATES}, 0, 0
    for side in ("seed", "benchmark"):
        for line in (ROOT / "data" / side / "word_problems.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            solved = solve(row["question"])
            if row["template"] in known or solved:
                read += 1
                if solved is None or str(solved[1]) != row["answer"].rpartition("#### ")[2]:
                    wrong += 1
                    print(row["template"], row["question"], row["answer"], solved, file=sys.stderr)
    print(f"{read} shipped problems read, {wrong} wrong")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return min(check(), 1)
    sampled = (WORK / "rows" / f"{ROWS_FILE}.jsonl").read_text(encoding="utf-8").splitlines()
    by_hand = json.loads(BY_HAND.read_text(encoding="utf-8")) if BY_HAND.is_file() else {}
    rows = [json.loads(line) for line in sampled]
    labelled = [label(row, by_hand) for row in rows]
    if unread := [row["prompt"] for row, found in zip(rows, labelled, strict=True) if found is None]:
        print(json.dumps(dict.fromkeys(unread), indent=1, ensure_ascii=False))
        print(
            f"{len(unread)} of {len(rows)} prompts have no label; read them and add them to {BY_HAND.name}",
            file=sys.stderr,
        )
        return 1
    LABELLED.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in labelled), encoding="utf-8")
    print(f"{len(rows)} prompts, {sum(row['answer'] is not None for row in labelled)} with an answer: {LABELLED.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
