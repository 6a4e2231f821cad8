"""Overlap of texts: contamination with benchmark questions, and near-repeats.

The contamination rule. A prompt is contaminated by a benchmark question when, after normalisation,
  1. both are equal, or
  2. more than half of the question's own tokens lie in 8-grams that the prompt contains too, or
  3. the row holds the question word for word together with one of its accepted answers, where the question has fewer than
     13 tokens, or fewer than 8 of its own.
An accepted answer alone never counts: "Paris" stands in many innocent rows. Nor does an 8-gram that three questions of one
benchmark share although their answers differ, such as an instruction that they begin with: all tokens are a question's
own but those. (Brown et al. 2020, appendix C, leave common n-grams out likewise.)

Worked example for 2: of a 12-token question, the prompt shares the 8-grams that start at tokens 0 and 1; they cover 9
of 12 tokens, 75%, so it is contaminated.
"""

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass

NGRAM = 8
COVERAGE = 0.5
COMMON = 3
SHORT_QUESTION = 13
SHINGLE = 3
# Vowel signs and accents that stand alone are marks to Unicode, not letters: without them Hindi words fall to pieces.
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
# An operator before a number is a token too: "2 + 3" and "2 - 3" are different questions.
_WORD = re.compile(rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*|(?:[!=<>]=|[-−+*/×÷^<>=])(?=\s*[\d(])")
_ASCII_WORD = re.compile(r"[a-z0-9]+|(?:[!=<>]=|[-+*/^<>=])(?=\s*[\d(])")
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
        for number, (_, text, words, _) in enumerate(self.questions):
            if self.equal.setdefault(folded(text), number) == number:  # a question that is asked twice is one
                for start in range(len(words) - NGRAM + 1):
                    self.grams[tuple(words[start : start + NGRAM])].append((number, start))
        self.shared: dict[int, set[int]] = defaultdict(set)
        """By question, the places of its tokens that are not its own."""
        self._leave_out_common()
        # Questions that count word for word, and how long those are that begin with the same two tokens.
        self.whole: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self.lengths: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for number, (_, _, words, _) in enumerate(self.questions):
            if words and (len(words) < SHORT_QUESTION or self._own(number) < NGRAM):
                self.whole[tuple(words)].append(number)
                self.lengths[tuple(words[:2])].add(len(words))
        self.openers = {key[0] for key in self.lengths}

    def _leave_out_common(self) -> None:
        benchmarks = [qid.rpartition("-")[0] for qid, *_ in self.questions]
        answers = [tuple(sorted(map(tuple, answers))) for *_, answers in self.questions]
        for gram, places in list(self.grams.items()):
            if len(places) < COMMON:
                continue
            sharing: dict[str, set[int]] = defaultdict(set)
            for number, _ in places:
                sharing[benchmarks[number]].add(number)
            common = {
                name for name, numbers in sharing.items()
                if len(numbers) >= COMMON and len({answers[number] for number in numbers}) > 1
            }  # fmt: skip
            for number, start in places:
                if benchmarks[number] in common:
                    self.shared[number].update(range(start, start + NGRAM))
            self.grams[gram] = [place for place in places if benchmarks[place[0]] not in common]

    def _own(self, number: int) -> int:
        return len(self.questions[number][2]) - len(self.shared.get(number, ()))

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
            own = self._own(number)
            share = len(places - self.shared.get(number, set())) / own if own >= NGRAM else 0.0
            if share > COVERAGE:
                return self._overlap(number, share)
        return self._word_for_word(words, response)

    def _word_for_word(self, words: list[str], response: str) -> Overlap | None:
        refuted: set[int] = set()  # the question stands there, none of its answers does
        for start in (place for place, word in enumerate(words) if word in self.openers):
            for key in (tuple(words[start : start + 2]), tuple(words[start : start + 1])):
                for length in sorted(self.lengths.get(key, ())):
                    for number in self.whole.get(tuple(words[start : start + length]), ()):
                        if number in refuted:
                            continue
                        places = (tokens(response), words)
                        answers = self.questions[number][3]
                        if any(answer and _contains(place, answer) for answer in answers for place in places):
                            return self._overlap(number, 1.0)
                        refuted.add(number)
        return None

    def _overlap(self, number: int, share: float) -> Overlap:
        return Overlap(self.questions[number][0], self.questions[number][1], share)


def _contains(words: list[str], part: list[str]) -> bool:
    # No token holds a space, and searching text takes linear time.
    return f" {' '.join(part)} " in f" {' '.join(words)} "
