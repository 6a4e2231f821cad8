"""Near-repeats and suspects of contamination against the slow count that they stand for."""

import itertools
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_assets.recipe.curation.contamination import ContaminationIndex, folded
from nomad_assets.recipe.curation.word_grams import GramSets, NearRepeats, NumberedTexts


def words(start: int, stop: int, prefix: str = "w") -> str:
    return " ".join(f"{prefix}{n}" for n in range(start, stop))


def twin(threshold: float, earlier: dict[str, str], text: str) -> tuple[str, float] | None:
    """The twin of a text among earlier ones, which have names."""
    near = NearRepeats(GramSets(NumberedTexts([*earlier.values(), text])), threshold, [*earlier, "itself"])
    for place in range(len(earlier)):
        near.add(place)
    return near.twin(len(earlier))


def all_grams(text: str) -> list[tuple[str, ...]]:
    """Word 3-grams; a shorter text is one gram."""
    found = folded(text)
    return [found[i : i + 3] for i in range(max(1, len(found) - 2))]


def grams(text: str) -> set[tuple[str, ...]]:
    return set(all_grams(text))


def jaccard(one: str, other: str) -> float:
    a, b = grams(one), grams(other)
    return len(a & b) / len(a | b)


# Word numbers.


def test_wordings_by_hand():
    wordings = NumberedTexts(["Who is it?", "", "it IS", "🙂 🙂"])
    assert len(wordings) == 4
    assert wordings.vocabulary == {"who": 0, "is": 1, "it": 2, "🙂": 3}
    assert wordings.words.tolist() == [0, 1, 2, 2, 1, 3, 3]
    assert wordings.starts.tolist() == [0, 3, 3, 5, 7]


def test_no_texts_and_texts_without_words():
    for texts in ([], [""], ["", " "]):
        wordings = NumberedTexts(texts)
        assert len(wordings) == len(texts) and wordings.words.tolist() == []
        assert wordings.suspects(ContaminationIndex([("q", words(0, 9), [])])).tolist() == [True] * len(texts)
        sets = GramSets(wordings)
        assert np.diff(sets.starts).tolist() == [1] * len(texts)
        NearRepeats(sets, 0.8, [])
    assert twin(0.8, {"first": ""}, " ") == ("first", 1.0)
    assert twin(0.8, {"first": ""}, "a") is None


texts_of = st.lists(st.sampled_from(["a", "B", "b", "c", "?", "🙂", "é", "2", "+"]), max_size=6).map(" ".join)


@given(st.lists(texts_of, max_size=8))
def test_keys_are_equal_where_the_words_are(texts):
    wordings = NumberedTexts(texts)
    for one, other in itertools.combinations(range(len(texts)), 2):
        assert (wordings.key(one) == wordings.key(other)) == (folded(texts[one]) == folded(texts[other]))


# Sets of 3-grams.


def sets_of(sets: GramSets) -> list[list[int]]:
    return [part.tolist() for part in np.split(sets.grams, sets.starts[1:-1])]


def test_gram_sets_by_hand():
    """`a b c` stands four times and comes last in each text; the others are in the order of their words."""
    sets = GramSets(NumberedTexts(["a b c d", "a b c", "a b c a b c"]))
    found = sets_of(sets)
    assert [len(part) for part in found] == [2, 1, 3]
    (abc,) = found[1]
    assert all(part[-1] == abc for part in found)
    assert len(set(itertools.chain(*found))) == 4
    a, b, c, d = range(4)
    numbers = [number % 2**60 for number in sorted(set(itertools.chain(*found)))]
    assert numbers == [x * 25 + y * 5 + z for x, y, z in ((b, c, a), (b, c, d), (c, a, b), (a, b, c))]


def test_short_texts_are_one_gram():
    found = sets_of(GramSets(NumberedTexts(["a b", "a", "b", "A, b!", "a b c", ""])))
    assert all(len(part) == 1 for part in found)
    assert found[0] == found[3] and len({part[0] for part in found}) == 5


@given(st.lists(texts_of, min_size=1, max_size=8))
def test_gram_sets_are_the_sets_of_the_texts_rarest_first(texts):
    sets = [grams(text) for text in texts]
    counts = Counter(gram for text in texts for gram in all_grams(text))
    found = sets_of(GramSets(NumberedTexts(texts)))
    for one, other in itertools.product(range(len(texts)), repeat=2):
        assert len(set(found[one]) & set(found[other])) == len(sets[one] & sets[other])
    for part, own in zip(found, sets, strict=True):
        assert part == sorted(set(part)) and len(part) == len(own)
        # Above the words stands the power of two that a gram's count reaches; hashes may only add to a count.
        powers = sorted(int(math.log2(counts[gram])) for gram in own)
        assert [number >> 60 for number in part] == powers


@pytest.mark.parametrize("vocabulary", [3_000_000, 2**31 - 1])
def test_a_vocabulary_whose_3_grams_overflow_64_bits(vocabulary):
    """The numbers of the first words are made dense on the way. Words are spread to the vocabulary's ends, in their order."""
    small = NumberedTexts(["a b c d e f", "a b c d e x", "f e d c b a", "a b", "x", ""])
    spread = vocabulary // len(small.vocabulary)
    assert vocabulary**3 > 2**63 and spread * (len(small.vocabulary) - 1) < vocabulary
    large = SimpleNamespace(vocabulary=range(vocabulary), words=small.words * np.int32(spread), starts=small.starts)
    found, expected = (list(itertools.chain(*sets_of(GramSets(wordings)))) for wordings in (large, small))
    assert [found.index(n) for n in found] == [expected.index(n) for n in expected], "the same grams are equal"


# Near-repeats.


def test_a_twin_comes_with_its_true_similarity():
    """20 words are 18 grams. One word changed at the end breaks one: 17 shared of 19."""
    earlier = {"first": words(0, 20)}
    assert twin(0.8, earlier, f"{words(0, 19)} other") == ("first", 17 / 19)
    assert twin(0.8, earlier, words(0, 20).upper()) == ("first", 1.0)
    assert twin(0.8, earlier, words(20, 40)) is None


def test_the_threshold_is_met_by_the_true_similarity():
    text, changed = words(0, 20), f"{words(0, 18)} other words"
    assert jaccard(text, changed) == 16 / 20
    assert twin(0.8, {"first": text}, changed) == ("first", 0.8)
    assert twin(0.81, {"first": text}, changed) is None


def test_the_nearest_of_several_is_named():
    earlier = {"far": f"{words(0, 15)} {words(50, 55)}", "close": f"{words(0, 19)} other"}
    assert twin(0.5, earlier, words(0, 20))[0] == "close"


def test_of_equally_near_ones_the_last_name_is_taken():
    earlier = {"b": f"{words(0, 19)} other", "c": f"{words(0, 19)} third", "a": f"{words(0, 19)} fourth"}
    assert twin(0.8, earlier, words(0, 20)) == ("c", 17 / 19)


def test_one_turns_the_search_off():
    assert twin(1.0, {"first": words(0, 20)}, words(0, 20)) is None


def test_only_texts_that_were_added_are_twins():
    near = NearRepeats(GramSets(NumberedTexts([words(0, 20)] * 3)), 0.8, ["a", "b", "c"])
    assert near.twin(1) is None, "nothing was added yet"
    near.add(1)
    assert near.twin(2) == ("b", 1.0)
    near.add(0)
    assert near.twin(2) == ("b", 1.0)


def test_number_swapped_word_problems_are_told_apart_at_the_default():
    """Two numbers of a 23-word problem changed: 6 of 21 grams differ, Jaccard 15/27; of interest to a lower threshold alone."""
    problem = (
        "Tom has {} bags with apples in each of them and he gives {} of all the apples away to his best friends today"
    )
    one, other = problem.format(3, 4), problem.format(5, 7)
    similarity = jaccard(one, other)
    assert 0.5 < similarity < 0.8
    assert twin(0.8, {"first": one}, other) is None
    assert twin(0.5, {"first": one}, other) == ("first", similarity)


def test_a_long_number_swapped_problem_is_a_near_repeat_with_its_twin():
    earlier = {"first": f"Tom has 3 apples {words(0, 40)}"}
    assert twin(0.8, earlier, f"Tom has 5 apples {words(0, 40)}") == ("first", 39 / 45)


def test_the_worked_example():
    """20 words are 18 grams, of which the first 4 are looked up."""
    sets = GramSets(NumberedTexts([words(0, 20)] * 2))
    near = NearRepeats(sets, 0.8, ["a", "b"])
    near.add(0)
    assert len(sets_of(sets)[0]) == 18
    assert len(near.texts) == 4


@st.composite
def similar_texts(draw) -> list[str]:
    """Texts of few words, many of them another one with a word changed, put in or taken out."""
    some_words = st.lists(st.sampled_from("abcd"), max_size=25)
    texts = draw(st.lists(some_words, min_size=1, max_size=4))
    for _ in range(draw(st.integers(0, 8))):
        text = list(draw(st.sampled_from(texts)))
        place, count = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text[place : place + count] = draw(st.lists(st.sampled_from("abcd"), max_size=2))
        texts.append(text)
    return [" ".join(text) for text in draw(st.permutations(texts))]


thresholds = st.one_of(
    st.integers(2, 19).map(lambda n: n / 20), st.floats(0.1, 0.95), st.sampled_from([1 / 3, 2 / 3, 6 / 7])
)


@given(similar_texts(), thresholds, st.data())
def test_a_twin_is_what_a_slow_search_finds(texts, threshold, data):
    names = data.draw(st.permutations([f"{n:02}" for n in range(len(texts))]))
    near = NearRepeats(GramSets(NumberedTexts(texts)), threshold, names)
    added: list[int] = []
    for place, text in enumerate(texts):
        found = [(jaccard(text, texts[other]), names[other]) for other in added]
        best = max((pair for pair in found if pair[0] >= threshold), default=None)
        assert near.twin(place) == (best and best[::-1])
        if data.draw(st.booleans()):
            near.add(place)
            added.append(place)


# Suspects of contamination.


def suspects(prompts: list[str], *questions: str) -> list[bool]:
    index = ContaminationIndex([(str(n), question, ["yes"]) for n, question in enumerate(questions)])
    return NumberedTexts(prompts).suspects(index).tolist()


def test_suspects_by_hand():
    """Eight words in a row of a long question, or all words of a short one."""
    prompts = [
        f"x {words(0, 8)} y",
        f"x {words(0, 7)} y {words(8, 20)}",
        f"x {words(12, 20)}",
        "a b",
        "x a B! y",
        "b a",
        "🙂",
    ]
    assert suspects(prompts, words(0, 20)) == [True, True, True, False, False, False, False]
    assert suspects(prompts, words(0, 9), "A b?") == [True, False, False, True, True, False, False]
    assert suspects(prompts, "🙂") == [False] * 6 + [True]
    assert suspects(prompts, "unknown", "a unknown", "") == [False] * 7
    assert suspects(prompts) == [False] * 7


def test_words_of_two_texts_are_no_gram():
    assert suspects([words(0, 5), words(5, 9)], words(0, 9)) == [False, False]
    assert suspects(["a", "b"], "a b") == [False, False]


question_words = st.lists(st.sampled_from(["a", "b", "c", "D", "2", "+", "🙂", "é", "..."]), min_size=1, max_size=20)
few_words = st.lists(st.sampled_from(["a", "b", "c", "d", "2", "+", "🙂"]), max_size=12)


@given(st.lists(st.tuples(question_words, few_words), min_size=1, max_size=4), st.data())
def test_every_contaminated_row_is_a_suspect(questions, data):
    index = ContaminationIndex(
        [(str(n), " ".join(question), [" ".join(answer)]) for n, (question, answer) in enumerate(questions)]
    )
    rows = []
    for _ in range(data.draw(st.integers(1, 6))):
        question = data.draw(st.sampled_from(questions))[0]
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(question))] * 2)))
        before, after, response = (data.draw(few_words) for _ in range(3))
        rows.append((" ".join([*before, *question[start:stop], *after]), " ".join(response)))
    found = NumberedTexts([prompt for prompt, _ in rows]).suspects(index)
    assert found.shape == (len(rows),) and found.dtype == bool
    for (prompt, response), suspect in zip(rows, found, strict=True):
        assert suspect or index.find(prompt, response) is None, prompt


def test_the_gram_that_a_text_shares_with_most_others():
    task, other = "a b c d e f g h", "p q r s t u v w"
    texts = [
        f"{task} one",
        f"{task} {other}",
        f"two {task}",
        other,
        "too short",
        f"x {other}",
        f"{other} y",
        f"z {other}",
        "",
    ]
    found = NumberedTexts(texts).most_shared(3).tolist()
    assert found[0] == found[2] >= 0 and found[3] == found[1] == found[5] == found[6] == found[7] >= 0
    assert found[0] != found[3] and found[4] == found[8] == -1
    assert NumberedTexts(texts).most_shared(6).tolist() == [-1] * len(texts)
    assert NumberedTexts([f"{task} {task} {task}", "one"]).most_shared(2).tolist() == [-1, -1], "a text counts once"
    assert NumberedTexts([]).most_shared(1).tolist() == []
