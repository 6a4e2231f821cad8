"""Curation: one verdict for every row of a corpus, with its reason and the evidence.

Rules in order; the first that a row breaks is its reason:

    not_completed        prompt or response did not end properly
    minority_answer      another final answer was more frequent among the prompt's responses
    low_agreement        agreement below `min_agreement`
    wrong_arithmetic     a written `a op b = c` is false                        evidence: the equation
    exact_repeat         the prompt equals that of an earlier row               evidence: that row's id
    near_repeat          word 3-gram Jaccard with an earlier row's prompt       evidence: that row's id, the similarity
    seed_copy            the prompt equals one of the teacher's own seed rows   evidence: the seed row's id
    near_seed_copy       the same by Jaccard                                    evidence: the seed row's id, the similarity
    contaminated         a benchmark question, by the rule of contamination.py        evidence: the question, the share
    outside_band         NormSim outside the band                               evidence: the band's bounds
    over_target          the corpus is full
"""

import itertools
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation.contamination import ContaminationIndex
from nomad_assets.recipe.curation.embedding import nearest, norm_sim
from nomad_assets.recipe.curation.word_grams import GramSets, NearRepeats, Wordings
from nomad_assets.recipe.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

REPORT_EVERY = 1000
KEPT = "kept"
REASONS = (
    "not_completed", "minority_answer", "low_agreement", "wrong_arithmetic", "exact_repeat", "near_repeat", "seed_copy",
    "near_seed_copy", "contaminated", "outside_band", "over_target",
)  # fmt: skip
NUMBER = r"[$€£]?(-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)%?)"
# A number does not start inside a word or another number; after x it has no sign: "3x-5" is algebra.
EQUATION = re.compile(
    rf"(?<![\w.,^)%]){NUMBER}\s*([-+*/×÷]|x(?!\s*-))\s*{NUMBER}\s*=\s*{NUMBER}(?![.,]?\d)(?!\s*[-+*/x×÷]\s*\d)"
)
PART_OF_A_CHAIN = re.compile(r"([-+*/×÷^)%]|[\d ]x|\d[ \t])[ \t]*$")


@dataclass(frozen=True, slots=True)
class Verdict:
    reason: str
    evidence: str | None = None
    similarity: float | None = None


PASSED = Verdict(KEPT)


def wrong_equation(text: str) -> str | None:
    """The first written `a op b = c` that is false, or None.

    "6 + 3 = 9 apples. 9 - 4 = 6 left." -> "9 - 4 = 6". Decimals are right when they are correct to the digits written.
    """
    for match in EQUATION.finditer(text):
        if PART_OF_A_CHAIN.search(text, max(0, match.start() - 8), match.start()):
            continue  # the tail of "2 + 3 + 4 = 9" says nothing about 3 + 4
        left, operator, right, result = match.groups()
        if operator in "/÷" and not float(right.replace(",", "").rstrip("%")):
            return match.group(0).strip()
        if not any(_holds(left, operator, right, result, percent) for percent in (1, 100)):
            return match.group(0).strip()
    return None


def _holds(left: str, operator: str, right: str, result: str, percent: int) -> bool:
    """Whether the equation is true when n% is read as n / `percent`: "50% + 20% = 70%" by 1, "200 * 10% = 20" by 100."""
    a, b, c = (
        Fraction(n.replace(",", "").rstrip("%")) / (percent if n.endswith("%") else 1) for n in (left, right, result)
    )
    value = a + b if operator == "+" else a - b if operator == "-" else a / b if operator in "/÷" else a * b
    digits = len(result.rstrip("%").partition(".")[2])
    # Rounding and cutting off are both common, so a last decimal may be off by less than one; a whole number may not.
    last = Fraction(1, 10**digits * (percent if result.endswith("%") else 1))
    return value == c or (digits > 0 and abs(value - c) < last)


def curate(
    corpus: "pl.DataFrame",
    seeds: "pl.DataFrame",
    pool_embeddings: "np.ndarray",
    seed_embeddings: "np.ndarray",
    row_embeddings: "np.ndarray",
    questions: list[tuple[str, str, list[str]]],
    settings: Curation,
    progress: Progress = silent,
) -> "pl.DataFrame":
    """The CuratedCorpus table: every row of `corpus` in its order, with verdict, reason, evidence and scores.

    `seeds` is the teacher's subset, `seed_embeddings` its prompts' (s, d); `pool_embeddings` (n, d) are those of the
    whole seed pool; `row_embeddings` (m, d) those of the completed rows' prompts, in order.
    """
    import numpy as np
    import polars as pl

    done = corpus["response_end"].eq("completed").to_numpy()
    scores = {
        name: np.full(corpus.height, np.nan) for name in ("normsim_2", "normsim_inf", "novelty", "seed_similarity")
    }
    nearest_seed: list[str | None] = [None] * corpus.height
    if done.any():
        scores["normsim_2"][done], scores["normsim_inf"][done] = norm_sim(row_embeddings, pool_embeddings)
        index, similarity = nearest(row_embeddings, seed_embeddings)
        scores["seed_similarity"][done], scores["novelty"][done] = similarity, 1 - similarity
        ids = seeds["id"].to_list()
        for place, seed in zip(np.flatnonzero(done), index, strict=True):
            nearest_seed[place] = ids[seed]
    verdicts = rule_verdicts(corpus, seeds, questions, settings, progress)
    band = scores["normsim_inf" if settings.norm == "inf" else "normsim_2"]
    _apply_band(verdicts, band, settings)
    return corpus.with_columns(
        pl.Series("verdict", ["kept" if v.reason == KEPT else "dropped" for v in verdicts], dtype=pl.String),
        pl.Series("reason", [v.reason for v in verdicts], dtype=pl.String),
        pl.Series("evidence", [v.evidence for v in verdicts], dtype=pl.String),
        pl.Series("evidence_similarity", [v.similarity for v in verdicts], dtype=pl.Float64),
        pl.Series("nearest_seed", nearest_seed, dtype=pl.String),
        *(pl.Series(name, values).fill_nan(None) for name, values in scores.items()),
    )


def rule_verdicts(
    corpus: "pl.DataFrame",
    seeds: "pl.DataFrame",
    questions: list[tuple[str, str, list[str]]],
    settings: Curation,
    progress: Progress = silent,
) -> list[Verdict]:
    """Every rule up to contamination; later rows are compared with earlier ones that broke none before the repeats."""
    own_ids, ids = seeds["id"].to_list(), corpus["id"].to_list()
    verdicts = _row_verdicts(corpus, settings)
    prompts, responses = corpus["prompt"].to_list(), corpus["response"].to_list()
    names = [*own_ids, *ids]
    # Seeds stand before the rows; a row that has its verdict is no twin and needs none, so its words are not read.
    texts = (prompt if verdict is None else "" for prompt, verdict in zip(prompts, verdicts, strict=True))
    wordings = Wordings(itertools.chain(seeds["prompt"].to_list(), texts))
    index = ContaminationIndex(questions)
    suspects = wordings.suspects(index).tolist()
    sets = GramSets(wordings)
    repeats = _Repeats(wordings, sets, settings.near_repeat, names)
    copies = _Repeats(wordings, sets, settings.seed_copy, names)
    for text in range(len(own_ids)):
        copies.add(text)
    for row, prompt in enumerate(prompts):
        text = len(own_ids) + row
        if verdicts[row] is None:
            verdicts[row] = repeats.find(text, "exact_repeat", "near_repeat")
            if verdicts[row] is None:
                repeats.add(text)
                verdicts[row] = copies.find(text, "seed_copy", "near_seed_copy")
            if verdicts[row] is None and suspects[text] and (overlap := index.find(prompt, responses[row])):
                verdicts[row] = Verdict("contaminated", f"{overlap.question_id}: {overlap.question}", overlap.share)
        if (row + 1) % REPORT_EVERY == 0 or row + 1 == len(prompts):
            progress("curation", row + 1, len(prompts), {})
    return [verdict or PASSED for verdict in verdicts]


class _Repeats:
    """The texts added so far, to ask which of them another one repeats, exactly or nearly."""

    def __init__(self, wordings: Wordings, sets: GramSets, threshold: float, names: list[str]):
        self.wordings, self.names = wordings, names
        self.exact: dict[bytes, int] = {}
        self.near = NearRepeats(sets, threshold, names)

    def add(self, text: int) -> None:
        self.exact[self.wordings.key(text)] = text
        self.near.add(text)

    def find(self, text: int, exact_reason: str, near_reason: str) -> Verdict | None:
        twin = self.exact.get(self.wordings.key(text))
        if twin is not None:
            return Verdict(exact_reason, self.names[twin], 1.0)
        found = self.near.twin(text)
        return Verdict(near_reason, *found) if found else None


def _row_verdicts(corpus: "pl.DataFrame", settings: Curation) -> list[Verdict | None]:
    """The rules that look at one row alone."""
    verdicts: list[Verdict | None] = []
    columns = ("prompt_end", "response_end", "majority_answer", "agreement", "final_answer", "response")
    for prompt_end, response_end, majority, agreement, answer, response in corpus.select(columns).iter_rows():
        if response_end != "completed":
            phase, end = ("prompt", prompt_end) if prompt_end != "completed" else ("response", response_end)
            verdicts.append(Verdict("not_completed", f"{phase}: {end}"))
        elif not majority:
            verdicts.append(Verdict("minority_answer", answer, agreement))
        elif agreement < settings.min_agreement:
            verdicts.append(Verdict("low_agreement", answer, agreement))
        elif settings.check_arithmetic and (equation := wrong_equation(response)):
            verdicts.append(Verdict("wrong_arithmetic", equation))
        else:
            verdicts.append(None)
    return verdicts


def band_bounds(values: "np.ndarray", settings: Curation) -> tuple[float, float]:
    """Smallest and largest NormSim inside the band, from the quantiles of `values` (the rows that passed all rules)."""
    import numpy as np

    if settings.band == "none" or len(values) == 0:
        return 0.0, 1.0
    low, high = np.quantile(values, settings.band_quantiles)
    return {"low": (0.0, float(low)), "middle": (float(low), float(high)), "high": (float(high), 1.0)}[settings.band]


def _apply_band(verdicts: list[Verdict], values: "np.ndarray", settings: Curation) -> None:
    """Mark rows outside the band, then those past `keep`, in place. Rows are kept in the order they were written."""
    import numpy as np

    passed = [place for place, verdict in enumerate(verdicts) if verdict.reason == KEPT]
    low, high = band_bounds(values[np.array(passed, dtype=int)], settings)
    kept = 0
    for place in passed:
        value = float(values[place])
        if not low <= value <= high:
            verdicts[place] = Verdict("outside_band", f"{low:.4f} to {high:.4f}", value)
        elif kept >= settings.keep:
            verdicts[place] = Verdict("over_target", f"{settings.keep} rows are kept")
        else:
            kept += 1


def reason_counts(curated: "pl.DataFrame") -> dict[str, int]:
    """Rows per reason, kept first, then in the rules' order."""
    found = Counter(curated["reason"].to_list())
    return {reason: found[reason] for reason in (KEPT, *REASONS) if found[reason]}
