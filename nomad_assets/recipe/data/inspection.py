"""What a seed file holds, before anything is trained on it."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from nomad_assets.recipe.curation.contamination import ContaminationIndex
from nomad_assets.recipe.curation.word_grams import GramSets, NearRepeats, NumberedTexts
from nomad_assets.recipe.data.seed_pool import content_key
from nomad_assets.recipe.data.sources import Rows

if TYPE_CHECKING:
    from nomad_assets.recipe.models.turns import Turns

LANGUAGE_SAMPLE = 2000
SURE = 0.5
"""Probability from which a text's language is named; below, as for "2 + 2" or a lone name, it is `unsure`."""
SHOWN = 5


@dataclass(frozen=True)
class Lengths:
    """Tokens of one part of the rows."""

    mean: float
    median: int
    p95: int
    longest: int


@dataclass(frozen=True)
class Inspection:
    """Rows as recognised, and what the pool would leave out of them."""

    formats: dict[str, int]
    """Records by recognised format."""
    rows: int
    left_out: dict[str, int]
    """Rows that the seed pool leaves out, by reason."""
    prompt: Lengths
    response: Lengths
    too_long: int
    """Rows longer than `max_length`."""
    max_length: int
    mean_tokens: tuple[float, float]
    """Of prompt and response, over the rows that fit; (0, 0) when none does."""
    near_repeats: list[tuple[str, str, float]]
    """Pairs (row, earlier row, Jaccard similarity) of like prompts; they stay in the pool."""
    languages: dict[str, float]
    """Share of rows by language (ISO 639-1), the most frequent first."""
    contaminated: list[tuple[str, str]]
    """(row, question) of rows that hold a benchmark question."""
    usable: int
    """Rows that the seed pool would have, those that are too long to train on among them."""

    def record(self) -> dict:
        return asdict(self)


def inspect(
    rows: Rows, questions: list[tuple[str, str, list[str]]], turns: "Turns", max_length: int, near_repeat: float
) -> Inspection:
    """Recognise, measure and compare rows. `questions` are (id, question, accepted answers) of the benchmarks."""
    index = ContaminationIndex(questions)
    reasons: Counter = Counter(entry["reason"] for entry in rows.left_out)
    seen: set[bytes] = set()
    contaminated: list[tuple[str, str]] = []
    usable = 0
    for row in rows.rows:
        key = content_key(row.prompt, row.response)
        overlap = None if key in seen else index.find(row.prompt, row.response)
        if key in seen:
            reasons["repeat"] += 1
        elif overlap is not None:
            reasons["benchmark_question"] += 1
            contaminated.append((f"row {row.number}", overlap.question))
        else:
            usable += 1
            seen.add(key)
    prompts = [len(ids) for ids in turns.encode_many([row.prompt for row in rows.rows])]
    responses = [len(ids) for ids in turns.encode_many([row.response for row in rows.rows])]
    scaffolding = len(turns.header) + len(turns.middle) + 2
    whole = [a + b + scaffolding for a, b in zip(prompts, responses, strict=True)]
    fitting = [place for place, length in enumerate(whole) if length <= max_length]
    return Inspection(
        formats=dict(rows.formats), rows=len(rows.rows), left_out=dict(sorted(reasons.items())), prompt=_lengths(prompts),
        response=_lengths(responses), too_long=len(whole) - len(fitting), max_length=max_length,
        mean_tokens=tuple(sum(part[place] for place in fitting) / max(1, len(fitting)) for part in (prompts, responses)),
        near_repeats=_near_repeats(rows, near_repeat), languages=languages([row.prompt for row in rows.rows]),
        contaminated=contaminated, usable=usable,
    )  # fmt: skip


def languages(texts: list[str]) -> dict[str, float]:
    """Share of texts by language, of at most 2,000 of them, evenly spread. Short texts are often `unsure`."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    sample = texts[:: -(-len(texts) // LANGUAGE_SAMPLE)]
    found = Counter()
    for text in sample:
        language, probability = identifier.classify(text)
        found[language if probability >= SURE else "unsure"] += 1
    return {language: count / len(sample) for language, count in found.most_common()}


def _lengths(counts: list[int]) -> Lengths:
    ordered = sorted(counts)
    mean = sum(ordered) / len(ordered)
    return Lengths(
        mean, ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], ordered[-1]
    )


def _near_repeats(rows: Rows, threshold: float) -> list[tuple[str, str, float]]:
    names = [f"row {row.number}" for row in rows.rows]
    texts = NumberedTexts(row.prompt for row in rows.rows)
    known = NearRepeats(GramSets(texts), threshold, names)
    earlier: set[bytes] = set()
    pairs = []
    for text, name in enumerate(names):
        key = texts.key(text)
        if key in earlier:
            continue  # equal prompts are another matter: their responses may differ
        earlier.add(key)
        if (twin := known.twin(text)) is not None:
            pairs.append((name, *twin))
        known.add(text)
    return pairs
