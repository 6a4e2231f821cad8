"""The right answer to a text task, computed from its prompt: a verifier of rows that a teacher wrote.

    [[curation.verifiers]]
    use = "python:solver.py:solve"
    scorer = "triviaqa"

    answer("Sort from smallest to largest: 40, 7, 12")  == ["7, 12, 40", "7, 12 and 40"]
    answer("Numbers: 40, 7, 12. Which is the largest?") == ["40"]
    answer("Which number is the largest: 40, 7, 40?")   is None    (a tie)
    answer("Write the sixth word of this list: fox, owl") is None

It reads the templates of data/seed/text_tasks.jsonl by itself, with other data of any length and in close wordings. What
it does not understand from the first character to the last, or what has several right answers, it answers with None.
One file, because a plug-in is read by itself.
"""

import re
from collections import Counter
from collections.abc import Callable

MAX_CHARACTERS = 500
MONTHS = "january february march april may june july august september october november december".split()
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
WEEKDAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday".split())
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
# The scoring rule drops them, so none can be part of an answer.
ARTICLES = frozenset(("a", "an", "the"))
# A garbled prompt has one of these in the place of an item, a key or a value.
FUNCTION_WORDS = ARTICLES | frozenset(
    "and are at costs each find for has how in is it likes of on or starts that to took what when which who write".split()
)
# What a sentence may begin with, other than a person's name.
OPENERS = ARTICLES | frozenset("after at before every in last my near on our then this today when yesterday".split())
COLORS = frozenset(
    "red blue green yellow black white brown pink gray grey purple orange gold silver violet beige turquoise".split()
)
# A capital letter makes no person of "Paris" or "Yesterday".
FIRST_NAMES = frozenset(
    "Adam Alan Alex Alice Amy Ana Andrew Andy Anna Anne Ben Bill Bob Brian Carl Carla Carlos Carol Charlie Chris Claire "
    "Clara Dan Daniel Dave David Diana Diego Ella Elena Ellen Emily Emma Eric Erik Eva Finn Frank Fred Gary George Gina "
    "Greg Hannah Harry Helen Henry Hugo Ian Ida Ivan Jack James Jane Jason Jean Jeff Jenny Jim Joe John Jonas Julia "
    "Julie Karen Kate Kevin Laura Lena Leo Lewis Liam Lily Linda Lisa Liz Louis Lucas Lucy Luis Luke Maria Marie Martin "
    "Mary Matt Max Maya Mia Mike Mila Nadia Nancy Nick Nina Noah Nora Olga Oliver Omar Oscar Otto Paul Paula Peter Phil "
    "Rachel Ravi Rita Robert Rosa Ruth Ryan Sam Sara Sarah Simon Sofia Sophie Steve Susan Theo Thomas Tim Tina Tom Tony "
    "Vera Victor Wendy Yara Zoe".split()
)

NUMBER = r"(?:0|[1-9][0-9]{0,5})"
WORD = r"[A-Za-z]+"
NAME = r"[A-Z][a-z]+"
NONE = "(?!)"
# Where only the wording may be in either case, a name keeps its capital.
LOOSE = re.IGNORECASE | re.ASCII
Answer = list[str] | None
Pairs = list[tuple[str, str]]


def solve(row: dict) -> Answer:
    """Every right answer to the prompt of a row, the usual spelling first; None where it knows none."""
    return answer(row["prompt"])


def answer(prompt: str) -> Answer:
    """Every right answer to a prompt, the usual spelling first; None where there is none, or no single one."""
    if len(prompt) > MAX_CHARACTERS or not prompt.isascii():
        return None
    text = " ".join(prompt.split())
    found = [reader(text) for reader in (_of_a_list, _of_facts, _of_a_text)]
    answers = [given for given in found if given is not None]
    return answers[0] if len(answers) == 1 else None


# Spellings of an answer.


def _in_order(items: list) -> Answer:
    texts = [str(item) for item in items]
    if len(texts) < 2:
        return texts or None
    return [", ".join(texts), f"{', '.join(texts[:-1])} and {texts[-1]}"]


def _counted(count: int, one: str, many: str) -> list[str]:
    numbers = [str(count), *NUMBER_WORDS[count : count + 1]]
    return numbers + [f"{number} {one if count == 1 else many}" for number in numbers]


def _dollars(amount: int) -> list[str]:
    return [f"${amount}", f"{amount} dollar{'' if amount == 1 else 's'}"]


# Tasks over a list: "ASK: ITEMS" or "LABEL: ITEMS. ASK".

LIST_RULES: list[tuple[re.Pattern, type, Callable[..., Answer]]] = []
LIST_FIRST = re.compile(r"(?:the )?([a-z ]+): ([^:.]+)\. ([^:.?]+)[.?]?", LOOSE)
LIST_LAST = re.compile(r"()([^:.?]+): ([^:.?]+)[.?]?", LOOSE)
LABELS = {str: ("", "list", "words", "word list"), int: ("", "list", "numbers", "number list")}
IN = "(?: (?:in|of|from) (?:this|the) list)?"
OF = "(?: (?:of|in|from|among) (?:these(?: numbers)?|this list|the list))?"
WHICH = "(?:which|what)"
WRITE = "(?:write|find|give|name)"
ABOVE = "(?:above|over|greater than|larger than|more than)"


def _over(kind: type, *asks: str) -> Callable:
    """Registers a function (items, *what the ask says) for asks over words (str) or numbers (int)."""

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        LIST_RULES.extend((re.compile(ask, LOOSE), kind, function) for ask in asks)
        return function

    return register


def _items(text: str, kind: type) -> list | None:
    """Two or more items, or None: "4, 5 and 6" gives [4, 5, 6]."""
    *parts, last = text.split(", ")
    parts += re.sub("^(?:and|or) ", "", last).split(" and " if " and " in last else " or ", maxsplit=1)
    form = re.compile(WORD if kind is str else NUMBER)
    if len(parts) < 2 or not all(form.fullmatch(part) for part in parts):
        return None
    return None if FUNCTION_WORDS & {part.lower() for part in parts} else [kind(part) for part in parts]


def _of_a_list(text: str) -> Answer:
    for found in filter(None, (LIST_FIRST.fullmatch(text), LIST_LAST.fullmatch(text))):
        label, *sides = found.groups()
        listed, ask = sides if label else reversed(sides)
        for pattern, kind, function in LIST_RULES:
            asked = pattern.fullmatch(ask) if label.lower() in LABELS[kind] else None
            items = asked and _items(listed, kind)
            if items:
                return function(items, *(group for group in asked.groups() if group is not None))
    return None


def _same(word: str, other: str) -> bool:
    return word.lower() == other.lower()


def _distinct(items: list) -> bool:
    return len({str(item).lower() for item in items}) == len(items)


def _times(items: list, word: str) -> int:
    return sum(_same(item, word) for item in items)


@_over(
    str,
    f"{WHICH} word is ({'|'.join(ORDINALS)}|last){IN}",
    f"(?:{WHICH} is|{WRITE}) the ({'|'.join(ORDINALS)}|last) word{IN}",
)
def _at_place(words: list[str], place: str) -> Answer:
    index = len(words) - 1 if _same(place, "last") else ORDINALS.index(place.lower())
    return [words[index]] if index < len(words) else None


@_over(
    str,
    f"{WHICH} word (?:comes|is) (?:right|directly|just) after ({WORD}){IN}",
    f"{WRITE} the word (?:that comes )?(?:right|directly|just) after ({WORD}){IN}",
)
def _next(words: list[str], word: str) -> Answer:
    if _times(words, word) != 1 or _same(words[-1], word):
        return None
    return [words[[item.lower() for item in words].index(word.lower()) + 1]]


@_over(
    str,
    f"{WHICH} (?:word|one|of these words) (?:starts|begins) with (?:the letter )?([A-Z])",
    f"{WRITE} the word that (?:starts|begins) with (?:the letter )?([A-Z])",
)
def _with_initial(words: list[str], letter: str) -> Answer:
    found = [word for word in words if _same(word[0], letter)]
    return found if len(found) == 1 else None


@_over(
    str,
    "how many words (?:are|are there) in (?:this|the) list",
    "how many words (?:does it have|does this list have|are in it|are there)",
    f"count the words{IN}",
)
def _count(words: list[str]) -> Answer:
    return _counted(len(words), "word", "words") if _distinct(words) else None


@_over(
    str,
    f"how (?:many times|often) (?:does ({WORD}) appear{IN}|is ({WORD}) in (?:this|the) list)",
    f"count how (?:many times|often) ({WORD}) (?:appears{IN}|is in (?:this|the) list)",
    f"how many times does (?:it|this list) have ({WORD})",
)
def _count_of(words: list[str], word: str) -> Answer:
    times = _times(words, word)
    return _counted(times, "time", "times") + ["once", "twice"][times - 1 : times] if times else None


@_over(
    str,
    f"{WHICH} word is different(?: from the (?:others|rest))?",
    f"{WRITE} the word that (?:differs|is different)(?: from the (?:others|rest))?",
)
def _different(words: list[str]) -> Answer:
    return _only_once(words) if len({word.lower() for word in words}) == 2 else None


@_over(str, f"{WHICH} word (?:is there|is in it|appears) only once{IN}")
def _only_once(words: list[str]) -> Answer:
    found = [word for word in words if _times(words, word) == 1]
    return found if len(found) == 1 and len(words) > 2 else None


@_over(
    str, f"(?:remove|delete|drop) ({WORD}) from (?:this|the) list", f"write (?:this list|the list|it) without ({WORD})"
)
def _without(words: list[str], word: str) -> Answer:
    return _in_order([item for item in words if not _same(item, word)]) if _times(words, word) == 1 else None


@_over(str, f"(?:change|turn) ({WORD}) (?:to|into) ({WORD}){IN}", f"replace ({WORD}) (?:with|by) ({WORD}){IN}")
def _changed(words: list[str], old: str, new: str) -> Answer:
    if _times(words, old) != 1 or _times(words, new) or new.lower() in FUNCTION_WORDS:
        return None
    return _in_order([new if _same(item, old) else item for item in words])


@_over(str, f"write (?:(?:it|this list) with )?({WORD}) (?:in place of|instead of) ({WORD}){IN}")
def _in_place_of(words: list[str], new: str, old: str) -> Answer:
    return _changed(words, old, new)


@_over(
    str,
    "(?:sort|put|write)(?: these words| this list| them)? in alphabetical order",
    "sort(?: these words| this list| them)? alphabetically",
)
def _alphabetical(words: list[str]) -> Answer:
    return _in_order(sorted(words, key=str.lower)) if _distinct(words) else None


@_over(
    str,
    "write (?:these words|this list|the words|them|it) in reverse order",
    "reverse (?:the order of )?this list",
    "write (?:these words|this list|them|it) from last to first",
)
def _reversed(words: list[str]) -> Answer:
    return _in_order(words[::-1])


@_over(
    str,
    f"{WHICH} word (?:appears|is there|occurs) (?:the )?most often{IN}",
    f"{WRITE} the most (?:frequent|common) word{IN}",
)
def _most_often(words: list[str]) -> Answer:
    counts = Counter(word.lower() for word in words).most_common(2)
    if counts[0][1] == 1 or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return [next(word for word in words if _same(word, counts[0][0]))]


@_over(
    int,
    rf"{WHICH} (?:number |one )?is the (largest|biggest|greatest|highest|smallest|lowest)(?: number)?{OF}",
    rf"{WRITE} the (largest|biggest|greatest|highest|smallest|lowest)(?: number| one)?{OF}",
)
def _extreme(numbers: list[int], which: str) -> Answer:
    found = (min if which.lower() in ("smallest", "lowest") else max)(numbers)
    return [str(found)] if numbers.count(found) == 1 else None


@_over(
    int,
    "(?:sort|put|write)(?: these numbers| the numbers| them)? (?:in order )?from (?:the )?smallest to (?:the )?largest",
    "(?:sort|put|write)(?: these numbers| the numbers| them)?(?: in order)?, (?:the )?smallest first",
)
def _rising(numbers: list[int]) -> Answer:
    return _in_order(sorted(numbers)) if _distinct(numbers) else None


@_over(
    int,
    f"how many (?:of (?:these|the) numbers |of them |numbers )?are {ABOVE} ({NUMBER})",
    f"count the (?:numbers|ones) (?:that are )?{ABOVE} ({NUMBER})",
)
def _count_above(numbers: list[int], limit: str) -> Answer:
    found = sum(number > int(limit) for number in numbers)
    return _counted(found, "number", "numbers") if _distinct(numbers) else None


@_over(int, f"keep (?:only )?(?:the numbers|those|the ones) (?:that are )?{ABOVE} ({NUMBER})")
def _those_above(numbers: list[int], limit: str) -> Answer:
    return _in_order([number for number in numbers if number > int(limit)]) if _distinct(numbers) else None


@_over(int, f"(?:drop|remove|delete) (?:all |the |all the )?numbers (?:that are )?(?:below|under|less than) ({NUMBER})")
def _not_below(numbers: list[int], limit: str) -> Answer:
    return _in_order([number for number in numbers if number >= int(limit)]) if _distinct(numbers) else None


@_over(
    int,
    f"add ({NUMBER}) to each(?: number| of them| of these numbers)?",
    f"make (?:each|every) number (?:larger|bigger|higher) by ({NUMBER})",
)
def _added(numbers: list[int], more: str) -> Answer:
    return _in_order([number + int(more) for number in numbers])


# Tasks over facts: each is a key with a value, "FACTS. ASK?" or "ASK: FACTS?", the facts with a label or without.

FACT_RULES: list[tuple[re.Pattern, re.Pattern, list[re.Pattern], Callable[..., Answer]]] = []
FACTS_FIRST = re.compile(r"(?P<facts>.+)\. (?P<ask>[^.:?]+(?:: [^.:?]+)?)[.?]?", re.ASCII)
FACTS_LAST = re.compile(r"(?P<ask>[^:.?]+): (?P<facts>[^?]+)[.?]?", re.ASCII)
BETWEEN_FACTS = re.compile(r"\. |, and |, or |, | and | or ")


def _from(label: str, facts: list[str], asks: list[str]) -> Callable:
    """Registers a function (pairs, *what the ask says); every fact has the groups `key` and `value`."""

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        forms, labels = [re.compile(fact, re.ASCII) for fact in facts], re.compile(f"(?:{label}) ", LOOSE)
        FACT_RULES.extend((re.compile(ask, LOOSE), labels, forms, function) for ask in asks)
        return function

    return register


def _of_facts(text: str) -> Answer:
    for found in filter(None, (FACTS_FIRST.fullmatch(text), FACTS_LAST.fullmatch(text))):
        for pattern, label, forms, function in FACT_RULES:
            asked = pattern.fullmatch(found["ask"])
            labelled = label.match(found["facts"])
            pairs = asked and _pairs(found["facts"][labelled.end() if labelled else 0 :], forms)
            if pairs:
                return function(pairs, *(group for group in asked.groups() if group is not None))
    return None


def _pairs(text: str, forms: list[re.Pattern]) -> Pairs | None:
    """Two or more facts of one form with different keys, or None."""
    clauses = BETWEEN_FACTS.split(text)
    for form in forms:
        found = [form.fullmatch(clause) for clause in clauses]
        if len(found) < 2 or not all(found):
            continue
        pairs = [(match["key"], match["value"]) for match in found]
        words = {part.lower() for pair in pairs for part in pair}
        return pairs if _distinct([key for key, _ in pairs]) and not words & FUNCTION_WORDS else None
    return None


def _only(pairs: Pairs, key: str) -> str | None:
    return next((value for other, value in pairs if _same(other, key)), None)


def _first_by(pairs: Pairs, rank: Callable[[str], int]) -> Answer:
    """The key whose value ranks lowest, or None in a tie."""
    (key, best), (_, second) = sorted(pairs, key=lambda pair: rank(pair[1]))[:2]
    return [key] if rank(best) < rank(second) else None


@_from(
    "favou?rite colou?rs:|colou?rs:",
    [rf"(?P<key>{NAME}):? (?P<value>{WORD})"],
    [f"{WHICH} colou?r does ({NAME}) (?:like|have)", f"{WHICH} is ({NAME})'s (?:favou?rite )?colou?r"],
)
@_from(NONE, [rf"(?P<key>{NAME}) likes (?P<value>{WORD})"], [f"{WHICH} colou?r does ({NAME}) like"])
def _color(pairs: Pairs, name: str) -> Answer:
    color = _only(pairs, name)
    return [color] if color and all(value.lower() in COLORS for _, value in pairs) else None


@_from(NONE, [rf"(?P<value>{NAME}) took (?:the|an?) (?P<key>{WORD})"], [f"who took (?:the|an?) ({WORD})"])
@_from(
    NONE,
    [rf"(?P<value>{NAME}) has (?:the|an?) (?P<key>{WORD})", rf"(?P<key>{WORD}): (?P<value>{NAME})"],
    [f"who has (?:the|an?) ({WORD})"],
)
def _owner(pairs: Pairs, thing: str) -> Answer:
    owner = _only(pairs, thing)
    return [owner] if owner else None


PRICE = [rf"(?:[Aa]n? |[Tt]he )?(?P<key>{WORD})(?: is| costs| for|:)? \$(?P<value>{NUMBER})"]


@_from(
    "prices:",
    PRICE,
    [
        f"(?:what|how much) does (?:the|an?) ({WORD}) cost",
        f"how much is (?:the|an?) ({WORD})",
        f"what is the price of (?:the|an?) ({WORD})",
    ],
)
def _price(pairs: Pairs, thing: str) -> Answer:
    price = _only(pairs, thing)
    return _dollars(int(price)) if price else None


@_from("prices:", PRICE, [f"{WHICH} (?:one |thing )?(?:is (?:the )?cheapest|costs (?:the )?least)"])
def _cheapest(pairs: Pairs) -> Answer:
    found = _first_by(pairs, int)
    return found and [found[0].lower()]


@_from("prices:", PRICE, ["how much (?:do|are) both(?: cost)?(?: together)?", "how much do they cost together"])
def _together(pairs: Pairs) -> Answer:
    return _dollars(sum(int(price) for _, price in pairs)) if len(pairs) == 2 else None


@_from(
    "plan:",
    [
        rf"(?P<key>{WORD}) is on (?P<value>{NAME}day)",
        rf"(?P<key>{WORD}): (?P<value>{NAME}day)",
        rf"(?P<value>{NAME}day) (?P<key>{WORD})",
    ],
    [f"(?:on )?{WHICH} day is ({WORD})", f"when is ({WORD})"],
)
def _day(pairs: Pairs, activity: str) -> Answer:
    day = _only(pairs, activity)
    return [day, f"on {day}"] if day and all(value.lower() in WEEKDAYS for _, value in pairs) else None


AGE = [
    rf"(?P<key>{NAME}) is (?P<value>{NUMBER})(?: years old)?",
    rf"(?P<key>{NAME}):? (?P<value>{NUMBER})(?: years)?",
    rf"(?P<key>{NAME}) \((?P<value>{NUMBER})\)",
]


@_from("ages:", AGE, ["who is (?:the )?oldest"])
def _oldest(pairs: Pairs) -> Answer:
    return _first_by(pairs, lambda age: -int(age))


@_from("ages:", AGE, [f"(?:by )?how many years older is ({NAME})(?: than ({NAME}))?"])
def _older(pairs: Pairs, older: str, younger: str | None = None) -> Answer:
    ages = {name: int(age) for name, age in pairs}
    if len(ages) != 2 or older not in ages or (younger and (younger not in ages or younger == older)):
        return None
    years = 2 * ages[older] - sum(ages.values())
    return _counted(years, "year", "years") if years > 0 else None


@_from(
    "code:|in (?:a|this|the) code,",
    [rf"(?P<key>{WORD})(?: =| is|:) (?P<value>{NUMBER})"],
    [f"write (?:as numbers|in this code): ({WORD}(?:,? {WORD})*)", f"write the numbers of ({WORD}(?:,? {WORD})*)"],
)
def _coded(pairs: Pairs, words: str) -> Answer:
    wanted = [_only(pairs, word) for word in _items(words, str) or [""]]
    return None if None in wanted else _in_order(wanted)


@_from(
    "times:|start times:|plan:",
    [rf"(?P<key>{WORD})(?: starts at| at|:)? (?P<value>(?:1?[0-9]|2[0-3]):[0-5][0-9])"],
    [f"{WHICH} (?:one )?starts (?:first|earliest)"],
)
def _earliest(pairs: Pairs) -> Answer:
    hours = [int(time.split(":")[0]) for _, time in pairs]
    # "11:00 or 1:30": which half of the day is meant is plain only where the clock shows 13 or more, or the hours are close.
    if max(hours) < 13 and (12 in hours or max(hours) - min(hours) > 5):
        return None
    found = _first_by(pairs, lambda time: int(time.replace(":", "")))
    return found and [found[0].lower()]


@_from(
    "names:",
    [rf"(?P<key>{NAME}) (?P<value>{NAME})(?: are here)?"],
    [f"what is ({NAME})'s (?:last name|surname)", f"{WRITE} the last name of ({NAME})"],
)
def _last_name(pairs: Pairs, first: str) -> Answer:
    last = _only(pairs, first)
    return [last] if last else None


# Tasks over a text or a date.

TEXT_RULES: list[tuple[re.Pattern, Callable[..., Answer]]] = []
MONTH = "|".join(MONTHS)
DATE = f"([1-9]|[12][0-9]|3[01]) ({MONTH}) ([1-9][0-9]{{3}})"
ISO = "(?:as|in the form) yyyy-mm-dd"


def _reads(*patterns: str) -> Callable:
    """Registers a function of the groups of a whole prompt."""

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        TEXT_RULES.extend((re.compile(pattern, re.ASCII), function) for pattern in patterns)
        return function

    return register


def _of_a_text(text: str) -> Answer:
    for pattern, function in TEXT_RULES:
        if found := pattern.fullmatch(text):
            return function(*found.groups())
    return None


@_reads(
    rf"(?i:{WHICH} number is (?:named|in this (?:text|sentence)))\? ([^:?]+)\.?",
    r"(?i:(?:write|find) (?:only )?the number(?: in this (?:text|sentence))?): ([^:?]+)\.?",
)
def _number_in(text: str) -> Answer:
    words = re.findall(r"[^ ,.]+", text)
    numbers = [word for word in words if re.search("[0-9]", word)]
    if (
        len(words) < 3
        or len(numbers) != 1
        or not re.fullmatch(NUMBER, numbers[0])
        or re.search(r"[0-9][,.][0-9]", text)
    ):
        return None
    return None if {word.lower() for word in words} & set(NUMBER_WORDS) else numbers


@_reads(
    r"(?i:who is (?:named here|this about|named in this (?:text|sentence)))\? ([^:?]+)\.?",
    r"(?i:find the person|(?:write|find) the name of the person): ([^:?]+)\.?",
)
def _name_in(text: str) -> Answer:
    first, *rest = re.findall(r"[^ ,.]+", text) or [""]
    # Any capital within the sentence may be that of a person, except for days and months.
    capitals = [word for word in rest if word[0].isupper() and word.lower() not in WEEKDAYS.union(MONTHS)]
    names = [word for word in (first, *capitals) if word in FIRST_NAMES]
    unknown = [word for word in capitals if word not in FIRST_NAMES]
    if first.lower() not in OPENERS and first not in FIRST_NAMES:
        return None
    return names if len(names) == 1 and not unknown and len(rest) > 1 else None


@_reads(rf"(?i:write (?:only )?the year(?: of this date)?: {DATE})\.?", rf"(?i:date: {DATE}\. what is the year)\?")
def _year(day: str, month: str, year: str) -> Answer:
    return [year] if _iso(day, month, year) else None


@_reads(rf"(?i:the {WORD} (open|clos|start|end)e?d on {DATE}\. in {WHICH} year did it (open|clos|start|end)e?)\?")
def _year_of_event(happened: str, day: str, month: str, year: str, happens: str) -> Answer:
    return _year(day, month, year) if _same(happened, happens) else None


@_reads(
    rf"(?i:write (?:the date )?{DATE} {ISO})\.?",
    rf"(?i:what is {DATE} {ISO})\?",
    rf"(?i:date: {DATE}\. write it {ISO})\.?",
)
def _iso(day: str, month: str, year: str) -> Answer:
    number = MONTHS.index(month.lower()) + 1
    leap = int(year) % 4 == 0 and (int(year) % 100 != 0 or int(year) % 400 == 0)
    if int(day) > DAYS_OF_MONTH[number - 1] or ((int(day), number) == (29, 2) and not leap):
        return None
    return [f"{year}-{number:02}-{int(day):02}"]


@_reads(
    rf"(?i:what are the initials of) ({NAME}(?: {NAME}){{1,2}})\?",
    rf"(?i:write the initials of) ({NAME}(?: {NAME}){{1,2}})\.?",
    rf"(?i:name): ({NAME}(?: {NAME}){{1,2}})\. (?i:what are the initials)\?",
)
def _initials(name: str) -> Answer:
    letters = [word[0] for word in name.split()]
    # The scoring rule drops "A." as an article.
    return ["".join(letters)] + ([] if "A" in letters else [f"{'.'.join(letters)}."])


@_reads(
    rf"(?i:first list): ([^:.?]+)\. (?i:second list): ([^:.?]+)\. (?i:{WHICH} word is in both(?: lists)?)\?",
    r"(?i:find the word (?:that is )?in both lists): ([^:.?;]+); ([^:.?;]+)\.?",
    rf"(?i:{WHICH} word do these lists share): ((?:{WORD}, )+{WORD}) and ((?:{WORD}, )+{WORD})\?",
)
def _in_both(first: str, second: str) -> Answer:
    one, other = _items(first, str), _items(second, str)
    if not one or not other or not _distinct(one) or not _distinct(other):
        return None
    shared = [word for word in one if _times(other, word)]
    return shared if len(shared) == 1 else None


@_reads(
    rf"(?i:what do an? ({WORD}) for \$({NUMBER}) and an? ({WORD}) for \$({NUMBER}) cost together)\?",
)
def _price_of_both(first: str, p: str, second: str, q: str) -> Answer:
    return None if _same(first, second) else _together([(first, p), (second, q)])


@_reads(rf"(?i:how many years is) ({NAME}) \(({NUMBER})\) (?i:older than) ({NAME}) \(({NUMBER})\)\?")
def _older_than(older: str, high: str, younger: str, low: str) -> Answer:
    return None if older == younger else _older([(older, high), (younger, low)], older)
