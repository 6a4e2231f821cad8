"""A synthetic corpus in which every repeat, copy and contamination is known, because it was planted.

    python benchmarks/planted.py FOLDER ROWS [SEED] [--seeds FILE.jsonl] [--questions FILE.jsonl]

writes corpus.parquet (the columns of SyntheticCorpus, every row completed), seeds.parquet, questions.parquet and
truth.parquet (id, planted, twin, near_miss). Word problems and trivia of 8 to 60 words are put together from clauses whose
slots are filled with Zipf-distributed words; no text comes from a data set. A planted near repeat has a Jaccard similarity of word
3-grams of 0.85 to 0.97 with its twin, which is a clean row further up; a near miss has 0.3 to 0.6 and counts as clean.
Responses hold a true sum and no answer to their prompt. The same arguments give the same bytes.
"""

import argparse
import math
import re
from pathlib import Path

import numpy as np
import polars as pl

SEEDS, QUESTIONS, CHUNK = 1000, 1319, 100_000
SHARES = {"exact_repeat": 0.09, "near_repeat": 0.11, "seed_copy": 0.04, "near_seed_copy": 0.04, "contaminated": 0.0533}
NEAR_MISSES = 0.05
LOWEST, HIGHEST = 0.86, 0.965  # Jaccard similarity aimed at in a near repeat
ZIPF = 0.8


def _join(first: str, second: str) -> list[str]:
    return [a + b for b in second.split() for a in first.split()]


STEMS = (
    "Ash Brook Carl Dun East Fair Glen Hart Ivy Kings Lang Mill North Oak Pem Quin Rock Stan Thorn Under Vale West Wood"
)
WORDS = {
    "name": """Maria John Aisha Wei Tom Priya Carlos Emma Yusuf Olga Liam Fatima Noah Chloe Kenji Ana Samuel Ingrid Omar Lucy
        Pedro Hana Victor Nadia George Mei Felix Amara Peter Sofia Ravi Julia Dmitri Zoe Ahmed Clara Hugo Leila Marcus Nina
        Oscar Rosa Simon Tara Ugo Vera Walter Ximena Yara Zane Bruno Celia Dario Elif Freya Gavin Helga Idris Joana Karim""".split(),
    "family": _join(STEMS, "well ford ley man son worth by wick ridge stone er berg croft more land shaw"),
    "place": _join(STEMS, "ville burg ton field port haven dale mouth bridge stead minster hurst gate holm cliff"),
    "thing": """apples books pencils tickets marbles eggs bottles cookies stickers bricks candles lemons cups chairs shells
        roses stamps coins cards boxes shirts oranges muffins balloons notebooks lamps pies plates ropes seeds tiles pears kites
        buttons brushes jars hats baskets crayons blankets batteries keys mirrors paintings peaches planks radios ribbons
        sandwiches scarves spoons towels trees tulips umbrellas violins watches wheels whistles bowls carrots bells drums fans
        gloves hammers jackets ladders magnets nails onions pots quilts rugs sacks tents vases wallets zippers""".split(),
    "kind": """red small old wooden blue large ripe heavy green cheap silver round new yellow broken clean plastic white tall
        paper black sweet brown golden flat striped thin orange soft glass spare used purple dusty bright copper woolen square
        tiny fresh pink polished rusty smooth painted foreign folded empty sturdy narrow curved local simple fancy grey""".split(),
    "job": """teacher farmer baker driver nurse painter student clerk pilot gardener plumber tailor carpenter librarian waiter
        engineer sailor butcher florist mechanic coach cook jeweler chemist miner singer weaver guard judge postman""".split(),
    "shop": """market bakery school library factory farm museum station harbor garden kitchen warehouse office theater hotel
        workshop stadium clinic bookshop garage orchard cinema gallery laundry brewery mill shipyard zoo bank park""".split(),
    "when": """Monday Friday Saturday Tuesday Sunday Thursday Wednesday January March June October December April August May
        September July November February spring summer autumn winter""".split(),
    "unit": "hours days weeks minutes months miles pounds liters meters kilograms gallons yards feet inches pages".split(),
    "deed": """sold bought packed lost carried found collected counted ordered repaired donated borrowed painted shipped kept
        returned wrapped stacked washed traded hid sorted cleaned mailed rented""".split(),
    "field": """physics poetry chess botany sculpture opera medicine sailing astronomy geology cricket ballet chemistry law
        mathematics cycling pottery architecture fencing journalism cartography zoology boxing philosophy printing""".split(),
    "work": """novel bridge symphony painting cathedral treaty railway statue canal telescope play lighthouse dictionary
        monument film atlas engine garden palace song prize school tower newspaper observatory""".split(),
}  # fmt: skip
OPENINGS = """{name} {family}, a {job}, has {n} {kind} {thing} in {place}.|A {job} from {place} {deed} {n} {kind} {thing} last {when}.
In {place}, {name} {deed} {n} {thing} and {m} {kind} {thing}.|Every {when}, {name} {deed} {n} {thing} near the {kind} {shop}.
The {shop} in {place} charges {n} dollars for {m} {kind} {thing}.|{name} and {name} {deed} {n} {thing} within {m} {unit}.
At a {kind} {shop}, {n} {job}s share {m} {thing}.|On {when} the {place} {shop} {deed} {n} {kind} {thing}.|{name} needs {n} {unit} to reach {place} from the {shop}.
Suppose {n} {kind} {thing} weigh {m} {unit} in {place}.|After {n} {unit}, {name} {family} {deed} {m} {thing}.|{name} {deed} {n} {kind} {thing} for a {job} in {place}.
My {job} friend {name} {deed} {n} {thing} before {when}.|There are {n} {thing}, {m} of them {kind}, at the {place} {shop}.""".replace("\n", "|").split("|")  # fmt: skip
MIDDLES = """Then {name} {deed} {n} of the {kind} ones.|One {kind} box of {thing} costs {n} dollars and {m} cents.|A {job} gives {name} {n} more {thing}.
{name} {deed} twice as many {thing} in {place}.|By {when}, {n} {kind} {thing} are gone.|The {job} adds {m} {thing} every {n} {unit}.|Half of the {kind} {thing} of {name} {family} reach {place}.
Another {n} {unit} pass before {name} {deed} them.|{n} {job}s from {place} want {m} {thing} each.|Only {n} percent of the {kind} {thing} are {kind}.
On {when} it rains in {place}, so {name} {deed} {n} {thing}.|Her brother {name} {deed} {m} {kind} {thing}.|The price in {place} falls by {n} dollars.|They put {n} {thing} into {m} {kind} boxes.
{name} {family} pays {n} dollars for the {kind} {thing}.|A truck takes {n} {thing} to {place} in {m} {unit}.|Later the {shop} {deed} {n} {thing} again.|Two {job}s break {n} {kind} {thing}.
{n} {unit} later, {name} has {m} fewer {thing}.|His {m} {kind} {thing} need {n} {unit} of {field}.|Meanwhile {name} {deed} {m} from the {shop}.|The {place} {job} {deed} {n} on {when}.
One {kind} box holds {n} {thing}.|{name} splits {m} {thing} among {n} friends in {place}.|For {n} {unit} nobody {deed} any {thing}.""".replace("\n", "|").split("|")  # fmt: skip
ENDINGS = """How many {thing} does {name} have now?|How many {unit} did the {job} need?|What do {n} {thing} cost in {place}?|How many of {n} {kind} {thing} has {place} on {when}?
How much money has {name} {family} left?|What does {name} pay for {n} {kind} {thing}?|How many more {thing} must {name} find?|After {n} {unit}, how many {thing} remain?
What share of {n} {thing} is {kind} by {when}?|How much did {name} and the {place} {shop} earn by {when}?|Who has more {thing}, {name} or {name}?|How long until {name} {deed} all {thing}?""".replace("\n", "|").split("|")  # fmt: skip
TRIVIA = """Which {job} from {place} won the {year} prize for {field} ahead of {name} {family}?|Which {job} designed the {kind} {place} {work} of {year} for {name} {family}?
What {work} did {name} {family} finish in {place} during {year}?|Which {kind} {work} by {name} {family} was first shown at {place} in {year}?|Who taught {field} to {name} {family} in {place} before {year}?
{name} {family}, born {year} near {place}, became known for which {work}?|What year did {place} and {place} replace the {kind} {work} by {name} {family}?|Which {job} wrote about {field} in {place} while {name} {family} was mayor?
Near which {shop} of {place} did {name} {family} meet {name} in {year}?|The {kind} {work} of {year} in {place} honors which {job}?|How many {unit} did {name} {family} of {place} spend on the {kind} {work}?
What was {name} {family} of {place} awarded in {year} for {field}?""".replace("\n", "|").split("|")  # fmt: skip
FILLERS = [
    ["please", "exactly", "now", "today"], ["show work", "explain briefly", "think carefully"],
    ["answer in words", "be very precise", "give one number"], ["write down every step", "round to whole numbers"],
    ["answer with a single number", "explain it to a child"], ["solve it without using a calculator"],
    ["check your answer before you reply here"], ["think step by step and then answer briefly"],
]  # fmt: skip


def _zipf(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    cumulated = np.cumsum(np.arange(1, size + 1) ** -ZIPF)
    return np.searchsorted(cumulated, rng.random(count) * cumulated[-1]).clip(max=size - 1)


def _slot(rng: np.random.Generator, slot: str, count: int) -> pl.Series:
    if slot == "year":
        return pl.Series(rng.integers(1700, 2024, count)).cast(pl.String)
    if slot in "nm":
        return pl.Series(np.exp(rng.uniform(math.log(2), math.log(900), count)).astype(int)).cast(pl.String)
    return pl.Series(WORDS[slot]).gather(_zipf(rng, len(WORDS[slot]), count))


def _clauses(rng: np.random.Generator, templates: list[str], count: int) -> pl.Series:
    """`count` sentences, each from a random template."""
    chosen = rng.integers(len(templates), size=count)
    places, texts = [], []
    for number, template in enumerate(templates):
        where = np.flatnonzero(chosen == number)
        parts = re.split(r"\{(\w+)\}", template)
        columns = [_slot(rng, part, len(where)) if i % 2 else pl.lit(part) for i, part in enumerate(parts) if part]
        places.append(where)
        texts.append(pl.select(pl.concat_str(columns)).to_series() if len(where) else pl.Series([], dtype=pl.String))
    return pl.concat(texts).gather(np.argsort(np.concatenate(places), kind="stable"))


def texts(rng: np.random.Generator, count: int) -> pl.Series:
    """`count` word problems and trivia questions, no two planned to be alike."""
    chunks = []
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        middles, trivia = rng.integers(0, 5, n), rng.random(n) < 0.3
        frame = pl.DataFrame({"opening": _clauses(rng, OPENINGS, n), "ending": _clauses(rng, ENDINGS, n)}).with_columns(
            pl.Series("trivia", _clauses(rng, TRIVIA, n)),
            *(
                pl.when(pl.lit(pl.Series(middles > i))).then(_clauses(rng, MIDDLES, n)).alias(f"middle{i}")
                for i in range(4)
            ),
        )
        problem = pl.concat_str(
            "opening", *(f"middle{i}" for i in range(4)), "ending", separator=" ", ignore_nulls=True
        )
        # Trivia comes with a sentence of context in one case of three.
        context = pl.concat_str("opening", "trivia", separator=" ")
        short = pl.when(pl.lit(pl.Series(rng.random(n) < 1 / 3))).then(context).otherwise("trivia")
        chunks.append(frame.select(pl.when(pl.lit(pl.Series(trivia))).then(short).otherwise(problem)).to_series())
    return pl.concat(chunks)


def _other(rng: np.random.Generator, word: str) -> str:
    """Another word than `word`, with the same punctuation behind it."""
    pool, bare = WORDS[("name", "thing", "kind", "place")[rng.integers(4)]], word.rstrip(".,?:")
    number = int(rng.integers(len(pool)))
    return pool[number - (pool[number] == bare)] + word[len(bare) :]


def near_repeat(rng: np.random.Generator, text: str) -> str:
    """`text` with a word changed or with words put before or behind it."""
    words = text.split()
    grams = len(words) - 2
    places = [len(words) - 1] * (grams >= 16) + [1] * (grams >= 30) + [len(words) // 2, len(words) // 3] * (grams >= 42)
    if places and rng.random() < 0.5:
        place = places[rng.integers(len(places))]
        words[place] = _other(rng, words[place])
        return " ".join(words)
    most = max(1, min(len(FILLERS), int(grams * (1 / LOWEST - 1))))
    least = min(most, max(1, math.ceil(grams * (1 / HIGHEST - 1))))
    pool = FILLERS[rng.integers(least, most + 1) - 1]
    filler = pool[rng.integers(len(pool))].capitalize()
    return f"{filler}: {text}" if rng.random() < 0.5 else f"{text} {filler}."


def near_miss(rng: np.random.Generator, text: str, fresh: str) -> str:
    """The beginning of `text`, then the end of `fresh`."""
    words, other = text.split(), fresh.split()
    similarity, grams = rng.uniform(0.36, 0.54), len(words) - 2
    head = round(2 * grams * similarity / (1 + similarity)) + 2
    while _jaccard(words, made := words[:head] + other[head - len(words) :]) > 0.58 and head > 4:
        head -= 1  # `fresh` is short or has clauses of `text`
    return " ".join(made)


def _jaccard(first: list[str], second: list[str]) -> float:
    a, b = (set(zip(words, words[1:], words[2:], strict=False)) for words in (first, second))
    return len(a & b) / len(a | b)


def contaminated(rng: np.random.Generator, question: str, fresh: str) -> str:
    """65 to 100% of the question's words in one piece, after the beginning of another text."""
    words, other = question.split(), fresh.split()
    share = 1.0 if rng.random() < 0.3 else rng.uniform(0.65, 0.95)
    length = max(9, math.ceil(share * len(words)))
    start = rng.integers(0, len(words) - length + 1)
    return " ".join(other[: max(7, 2 * len(other) // 3)] + words[start : start + length])


def respelled(rng: np.random.Generator, text: str) -> str:
    """The same tokens; in one case of three in capitals, or without punctuation."""
    return (text, text, text, text, text.upper(), re.sub(r"[.,?]", "", text))[rng.integers(6)]


def _answers(rng: np.random.Generator, count: int) -> tuple[pl.Series, pl.Series]:
    a, b = rng.integers(2, 900, (2, count))
    frame = pl.DataFrame({"a": a, "b": b, "c": a + b})
    response = pl.format("We add the two amounts: {} + {} = {}. The answer is {}.", "a", "b", "c", "c")
    return frame.select(response).to_series(), frame["c"].cast(pl.String)


def _seeds(rng: np.random.Generator, source: Path | None) -> pl.DataFrame:
    ids = pl.Series("id", [f"{number:016x}" for number in range(SEEDS)])
    if source is None:
        return pl.DataFrame({"id": ids, "prompt": texts(rng, SEEDS), "response": _answers(rng, SEEDS)[0]})
    read = pl.read_ndjson(source).select("prompt", "response").head(SEEDS)
    return read.insert_column(0, ids.head(read.height))


def _questions(rng: np.random.Generator, source: Path | None) -> pl.DataFrame:
    if source is None:
        read = pl.DataFrame(
            {"question": texts(rng, QUESTIONS), "answers": _answers(rng, QUESTIONS)[1].reshape((-1, 1))}
        )
        read = read.with_columns(pl.col("answers").cast(pl.List(pl.String)))
    else:
        read = pl.read_ndjson(source).select("question", "answers").head(QUESTIONS)
    return read.insert_column(0, pl.Series("id", [f"q{number:05d}" for number in range(read.height)]))


def _kinds(rng: np.random.Generator, rows: int) -> np.ndarray:
    counts = {kind: round(share * rows) for kind, share in {**SHARES, "near_miss": NEAR_MISSES}.items()}
    kinds = np.repeat([*counts, "clean"], [*counts.values(), rows - sum(counts.values())])
    rng.shuffle(kinds)
    first = int(np.argmax(kinds == "clean"))
    kinds[[0, first]] = kinds[[first, 0]]  # every twin is further up
    return kinds


def write_corpus(
    folder: Path, rows: int, seed: int = 0, seeds: Path | None = None, questions: Path | None = None
) -> None:
    """corpus.parquet, seeds.parquet, questions.parquet and truth.parquet in `folder`."""
    rng = np.random.default_rng(seed)
    own, asked = _seeds(rng, seeds), _questions(rng, questions)
    prompts, kinds = texts(rng, rows), _kinds(rng, rows)
    ids = pl.select(pl.format("r{}", pl.int_range(rows).cast(pl.String).str.zfill(8))).to_series()
    clean = np.flatnonzero(kinds == "clean")
    before = np.cumsum(kinds == "clean")
    long = asked.filter(pl.col("question").str.split(" ").list.len() >= 14)
    twins: list[str | None] = [None] * rows
    changed = np.flatnonzero(kinds != "clean")
    new = []
    for place in changed.tolist():
        kind = kinds[place]
        if "seed" in kind:
            key, text = own.row(int(rng.integers(own.height)))[:2]
        elif kind == "contaminated":
            key, text = long.row(int(rng.integers(long.height)))[:2]
        else:
            twin = int(clean[rng.integers(before[place])])
            key, text = ids[twin], prompts[twin]
        twins[place] = key
        if kind in ("exact_repeat", "seed_copy"):
            new.append(respelled(rng, text))
        elif kind in ("near_repeat", "near_seed_copy"):
            new.append(near_repeat(rng, text))
        else:
            new.append((near_miss if kind == "near_miss" else contaminated)(rng, text, prompts[place]))
    prompts = prompts.scatter(changed, new)
    responses, answers = _answers(rng, rows)
    corpus = pl.DataFrame({"id": ids, "prompt": prompts, "response": responses, "final_answer": answers}).with_columns(
        pl.int_range(rows).alias("attempt"), pl.lit(0, pl.Int64).alias("response_index"),
        pl.lit("completed").alias("prompt_end"), pl.lit("completed").alias("response_end"),
        pl.lit(1.0).alias("agreement"), pl.lit(True).alias("majority_answer"),
        pl.col("prompt").str.split(" ").list.len().cast(pl.Int64).alias("prompt_tokens"),
        pl.col("response").str.split(" ").list.len().cast(pl.Int64).alias("response_tokens"),
        pl.int_range(rows).alias("prompt_seed"), pl.int_range(rows).alias("response_seed"),
    )  # fmt: skip
    planted = pl.Series("planted", kinds.astype(object), dtype=pl.String)
    truth = pl.DataFrame({"id": ids, "planted": planted, "twin": pl.Series(twins, dtype=pl.String)}).with_columns(
        near_miss=pl.col("planted") == "near_miss", planted=pl.col("planted").replace("near_miss", "clean")
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in {"corpus": corpus, "seeds": own, "questions": asked, "truth": truth}.items():
        table.write_parquet(folder / f"{name}.parquet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--seeds", type=Path)
    parser.add_argument("--questions", type=Path)
    write_corpus(**vars(parser.parse_args()))
