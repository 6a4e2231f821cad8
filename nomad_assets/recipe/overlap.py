"""Overlap of texts: contamination with benchmark questions, and near-repeats.

The contamination rule. A prompt is contaminated by a benchmark question when, after normalisation,
  1. both are equal, or
  2. more than half of the question's own tokens lie in 8-grams that the prompt contains too, or
  3. the question has fewer than 13 tokens and the row holds it word for word together with one of its accepted answers.
An accepted answer alone never counts: "Paris" stands in many innocent rows. Nor does an 8-gram that three or more questions
of a benchmark share, and at least a fiftieth of them, such as an instruction that they begin with: the tokens in it are
nobody's own, and of the rest more than half has to be covered, or all where it is shorter than 8 tokens. (Brown et al. 2020,
appendix C, leave common n-grams out likewise.)

Worked example for 2: of a 12-token question, the prompt shares the 8-grams that start at tokens 0 and 1; they cover 9
of 12 tokens, 75%, so it is contaminated.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass

NGRAM = 8
COVERAGE = 0.5
COMMON, COMMON_SHARE = 3, 1 / 50
SHORT_QUESTION = 13
SHINGLE = 3
# Vowel signs and accents that stand alone are marks to Unicode, not letters: without them Hindi words fall to pieces.
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
# An operator before a number is a token too: "2 + 3" and "2 - 3" are different questions.
_WORD = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*|[-−+*/×÷^<>=](?=\s*[\d(])")
_ASCII_WORD = re.compile(r"[a-z0-9]+|[-+*/^<>=](?=\s*[\d(])")
# Normalisation sorts a run of marks in quadratic time, minutes for a megabyte of them. Unicode's stream-safe text
# format (UAX 15) ends a run after 30 with a joiner. The two half-width signs turn into marks, and the last
# ranges are the marks of rare scripts and of music.
_RUN = re.compile(rf"([{_MARKS}\uff9e\uff9f\U00010a00-\U00011fff\U0001d165-\U0001d1ad\U0001e000-\U0001e94a]{{30}})")


def tokens(text: str) -> list[str]:
    """Words and numbers, folded to lower case; punctuation and white space separate."""
    if text.isascii():  # normalisation leaves it as it is
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", _RUN.sub("\\1\u034f", text)).casefold())


def folded(text: str) -> tuple[str, ...]:
    """What two equal texts share: their tokens; the text as it is where it has none ("🙂", "+", "???")."""
    return tuple(tokens(text)) or tuple(text.split())


@dataclass(frozen=True)
class Overlap:
    """The question that a row contains, and how much of it (share of the question's own tokens, 1.0 when equal)."""

    question_id: str
    question: str
    share: float


class ContaminationIndex:
    """Benchmark questions by their 8-grams.

    `questions` holds (id, question, accepted answers); up to its last "-" an id names the benchmark.
    """

    def __init__(self, questions: list[tuple[str, str, list[str]]]):
        self.questions = [(qid, text, tokens(text), [tokens(a) for a in answers]) for qid, text, answers in questions]
        self.equal: dict[tuple[str, ...], int] = {}
        self.grams: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
        self.short: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, (_, text, words, _) in enumerate(self.questions):
            if self.equal.setdefault(folded(text), number) == number:  # a question that is asked twice is one
                for start in range(len(words) - NGRAM + 1):
                    self.grams[tuple(words[start : start + NGRAM])].append((number, start))
            if words and len(words) < SHORT_QUESTION:
                self.short[tuple(words[:2])].append(number)
        self.openers = {key[0] for key in self.short}
        self.shared = self._shared()

    def _shared(self) -> dict[int, set[int]]:
        """Places of each question's tokens that are in an 8-gram common to its benchmark; such grams leave the index."""
        benchmarks = [qid.rpartition("-")[0] for qid, *_ in self.questions]
        sizes, shared = Counter(benchmarks), defaultdict(set)
        for gram, places in list(self.grams.items()):
            if len(places) < COMMON:
                continue
            counts = Counter(benchmarks[number] for number in {number for number, _ in places})
            if any(count >= max(COMMON, COMMON_SHARE * sizes[name]) for name, count in counts.items()):
                for number, start in self.grams.pop(gram):
                    shared[number].update(range(start, start + NGRAM))
        return shared

    def find(self, prompt: str, response: str = "") -> Overlap | None:
        """The first rule that a row breaks, or None."""
        words = tokens(prompt)
        number = self.equal.get(tuple(words) or folded(prompt))
        if number is not None:
            return self._overlap(number, 1.0)
        covered: dict[int, set[int]] = defaultdict(set)
        for gram in {tuple(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1)}:
            for number, place in self.grams.get(gram, ()):
                covered[number].update(range(place, place + NGRAM))
        for number, places in sorted(covered.items()):
            shared = self.shared.get(number, set())
            own = len(self.questions[number][2]) - len(shared)
            share = len(places - shared) / own if own else 0.0
            if share > COVERAGE and (share == 1 or own >= NGRAM):
                return self._overlap(number, share)
        return self._short(words, response)

    def _short(self, words: list[str], response: str) -> Overlap | None:
        refuted: set[int] = set()  # the question stands there, none of its answers does
        for start in (place for place, word in enumerate(words) if word in self.openers):
            for key in (tuple(words[start : start + 2]), tuple(words[start : start + 1])):
                for number in self.short.get(key, ()):
                    question, answers = self.questions[number][2:]
                    if number in refuted or words[start : start + len(question)] != question:
                        continue
                    places = (tokens(response), words)
                    if any(answer and _contains(place, answer) for answer in answers for place in places):
                        return self._overlap(number, 1.0)
                    refuted.add(number)
        return None

    def _overlap(self, number: int, share: float) -> Overlap:
        return Overlap(self.questions[number][0], self.questions[number][1], share)


def _contains(words: list[str], part: list[str]) -> bool:
    # No token holds a space, and searching text takes linear time.
    return f" {' '.join(part)} " in f" {' '.join(words)} "
