"""Many texts at once, as word numbers in one flat array: what contamination.py says of one text, said of millions.

No verdict here is approximate. A vocabulary gives each word a number, a word 3-gram is three of them, and two prompts are
near-repeats when the Jaccard similarity of their 3-gram sets reaches the threshold t. Pairs are found by the prefix
filter (Chaudhuri et al. 2006; Bayardo et al. 2007): put every set of n grams in one order, the rarest first. Two sets of
similarity t or more share a gram within the first n - ceil(t*n) + 1 of each. In text most of those first grams occur
once, so nearly all rows are known to have no twin without looking at another row.

Worked example, t = 0.8: of 18 grams the first 18 - 15 + 1 = 4 are looked up. A twin shares at least 15 of its grams, so at
most 3 of ours are not in it, and one of these 4 is.
"""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nomad_assets.recipe.curation.contamination import NGRAM, SHINGLE, ContaminationIndex, folded

if TYPE_CHECKING:
    import numpy as np

BASE = 0x9E3779B97F4A7C15  # odd, so that multiplying by it loses nothing modulo 2^64
TABLE_BITS = 22
FREQUENCY_BITS = 4
UNKNOWN = -1


class NumberedTexts:
    """Texts as word numbers: `words` (total,) int32, and text i has words[starts[i] : starts[i + 1]]."""

    def __init__(self, texts: Iterable[str]):
        import numpy as np

        self.vocabulary: dict[str, int] = {}
        words, starts = array("i"), array("q", [0])
        number = self.vocabulary.setdefault
        for text in texts:
            words.extend([number(word, len(self.vocabulary)) for word in folded(text)])
            starts.append(len(words))
        self.words = np.frombuffer(words, np.int32) if words else np.zeros(0, np.int32)
        self.starts = np.frombuffer(starts, np.int64)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def key(self, text: int) -> bytes:
        """Equal for two texts of the same words."""
        return self.words[self.starts[text] : self.starts[text + 1]].tobytes()

    def suspects(self, index: ContaminationIndex) -> "np.ndarray":
        """(len(self),) bool: texts that may hold a question of the index. `index.find` decides; it finds no others.

        A question that a text holds by any of the three rules shares an 8-gram with it, or all its words when it has
        fewer than 8. Grams are compared by 64-bit hashes, which can only add a suspect.
        """
        import numpy as np

        found = np.diff(self.starts) == 0  # texts without a word are compared as they stand
        questions: dict[int, list[list[int]]] = defaultdict(list)
        for _, text, _, _ in index.questions:
            ids = [self.vocabulary.get(word, UNKNOWN) for word in folded(text)]
            size = min(len(ids), NGRAM)
            if size:
                questions[size] += [ids[i : i + size] for i in range(len(ids) - size + 1)]
        owner = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        for size, grams in questions.items():
            known = [gram for gram in grams if UNKNOWN not in gram]
            if not known or len(self.words) < size:
                continue
            wanted = np.unique(_hashes(np.array(known, np.int32).reshape(-1), size)[::size])
            hashes = _hashes(self.words, size)
            table = np.zeros(2**TABLE_BITS, bool)
            table[wanted >> np.uint64(64 - TABLE_BITS)] = True
            places = np.flatnonzero(table[hashes >> np.uint64(64 - TABLE_BITS)])
            places = places[owner[places] == owner[places + size - 1]]
            found[owner[places[np.isin(hashes[places], wanted)]]] = True
        return found

    def most_shared(self, least: int) -> "np.ndarray":
        """(len(self),) int64: a number for the 8-gram that a text shares with most others, -1 where none stands in `least`
        texts. Equal numbers mean the same gram."""
        import numpy as np

        found = np.full(len(self), -1, np.int64)
        owner = np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))
        if len(owner) < NGRAM:
            return found
        inside = owner[: len(owner) - NGRAM + 1] == owner[NGRAM - 1 :]
        pairs = np.stack([_hashes(self.words, NGRAM)[inside], owner[: len(inside)][inside].astype(np.uint64)])
        hashes, owners = np.unique(pairs, axis=1)  # once a text
        _, grams, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        often = counts[grams] >= least
        grams, owners = grams[often], owners[often].astype(np.int64)
        order = np.lexsort((grams, -counts[grams], owners))
        texts, first = np.unique(owners[order], return_index=True)
        found[texts] = grams[order][first]
        return found


def _hashes(words: "np.ndarray", size: int) -> "np.ndarray":
    """Polynomial hash modulo 2^64 of each run of `size` words, mixed so that the high bits depend on all of them."""
    import numpy as np

    count = len(words) - size + 1
    values = np.zeros(count, np.uint64)
    for offset in range(size):
        values *= np.uint64(BASE)
        values += words[offset : offset + count].astype(np.uint64) + np.uint64(1)
    values ^= values >> np.uint64(31)
    values *= np.uint64(BASE)
    return values


class GramSets:
    """The word 3-grams of texts as sets of numbers: `grams` (total,) uint64, text i has grams[starts[i] : starts[i + 1]].

    Each set is in ascending order, and rarer grams have smaller numbers: above the three words stands how often the
    gram occurs, as a power of two, counted by a hash. The order is the same in all sets, which is all that the prefix
    filter needs. A text of fewer than three words is one gram.
    """

    def __init__(self, texts: NumberedTexts):
        import numpy as np

        sizes = np.diff(texts.starts)
        padded = np.maximum(sizes, SHINGLE)
        starts = np.concatenate([[0], np.cumsum(padded)])
        none = len(texts.vocabulary)  # stands where a short text has no third word
        words = np.full(starts[-1], none, np.int64)
        words[np.arange(len(texts.words)) + np.repeat(starts[:-1] - texts.starts[:-1], sizes)] = texts.words
        counts = padded - SHINGLE + 1
        begins = np.arange(counts.sum()) + np.repeat(np.arange(len(sizes)) * (SHINGLE - 1), counts)
        numbers = words[begins]
        for offset in range(1, SHINGLE):
            if numbers.size and numbers.max() >= 2 ** (64 - FREQUENCY_BITS) // (none + 1):
                numbers = np.unique(numbers, return_inverse=True)[1]
            numbers = numbers * (none + 1) + words[begins + offset]
        numbers = numbers.astype(np.uint64)
        buckets = (numbers * np.uint64(BASE)) >> np.uint64(64 - TABLE_BITS)
        often = np.log2(np.bincount(buckets.astype(np.int64), minlength=1).clip(1, 2 ** (2**FREQUENCY_BITS - 1)))
        numbers |= often.astype(np.uint64)[buckets] << np.uint64(64 - FREQUENCY_BITS)
        self.grams, self.starts = _sets(numbers, counts)


def _sets(numbers: "np.ndarray", counts: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """Runs of `counts` numbers, each in ascending order and without repeats, and where they start.

    Runs of one length are sorted together, as the rows of a matrix.
    """
    import numpy as np

    starts = np.concatenate([[0], np.cumsum(counts)])
    if not len(counts):
        return numbers, starts
    first = np.ones(len(numbers), bool)
    by_length = np.argsort(counts, kind="stable")
    lengths, begins = np.unique(counts[by_length], return_index=True)
    for length, texts in zip(lengths, np.split(by_length, begins[1:]), strict=True):
        places = starts[texts][:, None] + np.arange(length)
        rows = np.sort(numbers[places], axis=1)
        numbers[places] = rows
        first[places[:, 1:]] = rows[:, 1:] != rows[:, :-1]
    different = np.concatenate([[0], np.cumsum(first)])
    return numbers[first], different[starts]


class NearRepeats:
    """Which of the texts added so far repeats a given one, by the Jaccard similarity of their 3-grams.

    A threshold of 1 turns the search off. `names` decide between equally near texts: the last in order is taken.
    """

    def __init__(self, sets: GramSets, threshold: float, names: Sequence[str]):
        import numpy as np

        self.sets, self.threshold, self.names = sets, threshold, names
        self.texts: dict[int, list[int]] = defaultdict(list)  # by gram
        sizes = np.diff(sets.starts)
        self.first: np.ndarray | None = None
        if threshold >= 1:
            return
        # Rounding may make a prefix one longer, never one shorter.
        length = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
        place = np.arange(len(sets.grams)) - np.repeat(sets.starts[:-1], sizes)
        inside = place < np.repeat(length, sizes)
        _, grams, counts = np.unique(sets.grams[inside], return_inverse=True, return_counts=True)
        often = counts[grams] > 1  # grams that only one prefix has link nothing
        owner = np.repeat(np.arange(len(sizes)), sizes)[inside][often]
        self.first = grams[often]
        self.first_starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(sizes)))])
        self.linked = np.diff(self.first_starts) > 0

    def add(self, text: int) -> None:
        if self.first is not None and self.linked[text]:
            for gram in self._first(text):
                self.texts[gram].append(text)

    def twin(self, text: int) -> tuple[str, float] | None:
        """(name, Jaccard similarity) of the most similar text added so far at or above the threshold, or None."""
        if self.first is None or not self.linked[text]:
            return None
        others = {other for gram in self._first(text) for other in self.texts.get(gram, ())}
        if not others:
            return None
        grams, best = set(self._grams(text)), None
        fewest, most = math.ceil(self.threshold * len(grams) - 1e-9), len(grams) / max(self.threshold, 1e-9) + 1e-9
        for other in others:
            theirs = self._grams(other)
            if not fewest <= len(theirs) <= most:
                continue
            shared = len(grams.intersection(theirs))
            found = shared / (len(grams) + len(theirs) - shared), self.names[other]
            if found[0] >= self.threshold and (best is None or found > best):
                best = found
        return None if best is None else (best[1], best[0])

    def _grams(self, text: int) -> list[int]:
        return self.sets.grams[self.sets.starts[text] : self.sets.starts[text + 1]].tolist()

    def _first(self, text: int) -> list[int]:
        return self.first[self.first_starts[text] : self.first_starts[text + 1]].tolist()


@dataclass(frozen=True)
class Twin:
    """The text that another one repeats: its name, the similarity, and whether both have the same words in order."""

    name: str
    similarity: float
    exact: bool


class KnownTexts:
    """The texts added so far, to ask which of them another one repeats, exactly or nearly."""

    def __init__(self, texts: NumberedTexts, sets: GramSets, threshold: float, names: Sequence[str]):
        self.texts, self.names = texts, names
        self.exact: dict[bytes, int] = {}
        self.near = NearRepeats(sets, threshold, names)

    def add(self, text: int) -> None:
        self.exact[self.texts.key(text)] = text
        self.near.add(text)

    def twin(self, text: int) -> Twin | None:
        twin = self.exact.get(self.texts.key(text))
        if twin is not None:
            return Twin(self.names[twin], 1.0, True)
        found = self.near.twin(text)
        return Twin(*found, False) if found else None
