"""When further responses to a prompt can change no verdict on the ones there are.

Of `count` responses at least the share `share` must agree, as `curation.min_agreement` has it. Worked example with count = 4
and share = 0.75, so that 3 must agree (- is a response that did not end):

    7 7      two more are needed to tell: one if it says 7, and if it does not, the last one
    7 7 7    settled: 7 keeps its 3 votes, and nothing else can get more than 1
    7 8      not settled: two more 7 would make 3
    7 8 -    settled: with one left nothing reaches 3

Agreement is then the votes of the most frequent answer out of `count`, so that a response that was not sampled counts as
one that did not agree. That is a lower bound of the share among all of them, and on the same side of `share`: curation with
that share gives every sampled row the verdict it would have beside all the others. (Uesato et al. 2022 and Wang et al. 2022,
arXiv 2203.11171, sample a fixed number; stopping early is Aggarwal et al. 2023, arXiv 2305.11860, here without an error.)
"""

from collections import Counter
from collections.abc import Sequence

Answer = str | None
"""What a response comes down to; None where it did not end."""


def majority(answers: Sequence[Answer]) -> tuple[Answer, int]:
    """The most frequent answer and its votes, the first of several; (None, 0) where no response ended."""
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0] if votes else (None, 0)


def is_settled(answers: Sequence[Answer], count: int, share: float) -> bool:
    """Whether the verdicts on these responses, the first of `count`, stay what they are whatever the others say."""
    left = count - len(answers)
    top, votes = majority(answers)
    reached = votes > 0 and votes / count >= share
    if not reached:
        # The rule compares votes / count as a float, and so does this.
        return left == 0 or (votes + left) / count < share
    # A tie goes to the answer that came first: an earlier one may draw level, a later one has to pass.
    seen = list(dict.fromkeys(answer for answer in answers if answer is not None))
    held = Counter(answers)
    earlier = seen[: seen.index(top)]
    return left <= votes and all(
        held[answer] + left < votes if answer in earlier else held[answer] + left <= votes
        for answer in seen
        if answer != top
    )


def fewest_more(answers: Sequence[Answer], count: int, share: float | None) -> int:
    """How many more of `count` responses to sample before asking again: as few as may settle the verdict, 0 where it is
    settled; all of them where `share` is None."""
    left = count - len(answers)
    if share is None:
        return left
    if is_settled(answers, count, share):
        return 0
    # The quickest ways there: all further responses agree with one answer, or none of them ends.
    ways = [*dict.fromkeys(answers), None, object()]
    return next(
        more for more in range(1, left + 1) if any(is_settled([*answers, *[way] * more], count, share) for way in ways)
    )
