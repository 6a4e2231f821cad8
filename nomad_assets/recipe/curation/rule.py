"""What a rule of curation is: one class that declares its settings, its reasons and its verdict on a row.

A built-in rule is one module of `rules/`, which names its class `RULE`; nothing else lists the rules. The keys of
`[curation]`, the reasons that the card of a dataset explains and the order of judging are derived from these classes.

    class Shouting(Rule):
        stage, order = Stage.ROW, 40
        reasons: ClassVar[dict[str, str]] = {"shouting": "the prompt is in capital letters"}

        class Settings(Section):
            most_capitals: Share = 1.0
            \"\"\"Largest share of capital letters in a prompt.\"\"\"

        def verdict(self, row: int) -> Verdict | None:
            prompt = self.rows.column("prompt")[row]
            share = sum(map(str.isupper, prompt)) / len(prompt)
            return Verdict("shouting", similarity=share) if share > self.settings.most_capitals else None

    RULE = Shouting
"""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation.word_grams import GramSets, NumberedTexts

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a row is dropped (or `kept`), and what shows it."""

    reason: str
    evidence: str | None = None
    similarity: float | None = None


class Stage(IntEnum):
    """When a rule judges: rows that an earlier stage dropped are seen by none of a later one."""

    ROW = 1
    """Each row by itself."""
    PLUG_IN = 2
    """The user's filters, then the verifiers, in the profile's order."""
    TEXT = 3
    """A row's text against seed rows, benchmark questions and earlier rows that passed."""
    SELECTION = 4
    """Which of the rows that no other rule drops are kept."""


class CorpusRows:
    """The rows of a corpus, and what rules compare them with. Rows are numbered from 0 in the table's order.

    `table` has the columns of SyntheticCorpus. `seeds` holds the teacher's own seed rows (id, prompt), `questions`
    (id, question, accepted answers). `scores` are arrays (rows,) by name, NaN for a row that was not completed:
    normsim_2, normsim_inf, novelty, seed_similarity; it is empty where only texts are judged.
    """

    def __init__(
        self,
        table: "pl.DataFrame",
        seeds: "pl.DataFrame",
        questions: list[tuple[str, str, list[str]]],
        scores: Mapping[str, "np.ndarray"],
    ):
        import numpy as np

        self.table, self.seeds, self.questions, self.scores = table, seeds, questions, scores
        self.undecided = np.ones(table.height, bool)
        """(rows,): no rule has dropped it so far."""
        self._columns: dict[str, list] = {}

    def __len__(self) -> int:
        return self.table.height

    def column(self, name: str) -> list:
        """The values of one column."""
        if name not in self._columns:
            self._columns[name] = self.table[name].to_list()
        return self._columns[name]

    @functools.cached_property
    def names(self) -> list[str]:
        """Ids of the texts: the seed rows, then the rows."""
        return [*self.seeds["id"].to_list(), *self.column("id")]

    @functools.cached_property
    def texts(self) -> NumberedTexts:
        """The prompts of the seed rows, then those of the rows. A row that was dropped before is compared with none, so
        its words are not read."""
        prompts = zip(self.column("prompt"), self.undecided.tolist(), strict=True)
        rows = (prompt if undecided else "" for prompt, undecided in prompts)
        return NumberedTexts(itertools.chain(self.seeds["prompt"].to_list(), rows))

    @functools.cached_property
    def gram_sets(self) -> GramSets:
        """The word 3-grams of `texts`."""
        return GramSets(self.texts)

    def text(self, row: int) -> int:
        """Where the prompt of a row stands in `texts` and `names`."""
        return self.seeds.height + row


class Rule:
    """One rule. It is made when its turn comes, and asked for each row without verdict, in ascending order."""

    stage: ClassVar[Stage] = Stage.ROW
    order: ClassVar[int] = 100
    """Place among the rules of its stage; equal ones go by the names of their modules."""
    settings_order: ClassVar[int | None] = None
    """Place of its settings in `[curation]`; None stands for `order`."""
    reasons: ClassVar[dict[str, str]] = {}
    """The reasons that it gives, each with the sentence that the card of a dataset explains it by."""

    looks_for_errors: ClassVar[bool] = False
    """Whether a row that it drops is probably wrong. `signs.py` asks these of kept rows, switched on or not."""

    class Settings(Section):
        """Its keys of `[curation]`."""

    def __init__(self, settings: Any, rows: CorpusRows):
        """`settings` has the attributes of `Settings`."""
        self.settings, self.rows = settings, rows

    def suspects(self) -> "np.ndarray | None":
        """(rows,) bool: the only rows that it may drop, where a look at whole columns tells; None stands for all."""
        return None

    def verdict(self, row: int) -> Verdict | None:
        """None when it does not object to the row."""
        raise NotImplementedError
