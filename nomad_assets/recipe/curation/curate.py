"""Curation: one verdict for every row of a corpus, with its reason and the evidence.

The rules of rules/ judge in order, and the first that a row breaks is its reason: first those that look at a row by
itself, then the user's own filters and verifiers, then those that compare texts, at last the band of relevance and the
number of rows to keep.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from nomad_assets.names import NAME
from nomad_assets.plugins import Plugin
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation import rules
from nomad_assets.recipe.curation.embedding import nearest, norm_sim
from nomad_assets.recipe.curation.rule import KEPT, CorpusRows, Stage, Verdict
from nomad_assets.recipe.curation.user_rules import open_user_rules
from nomad_assets.recipe.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

REPORT_EVERY = 1000
PLUGIN_REASON = rf"^(filter|verifier)\.({NAME.pattern})$"
PASSED = Verdict(KEPT)


class Judge(Protocol):
    """What a rule is asked: `Rule` in rule.py says more."""

    def suspects(self) -> "np.ndarray | None": ...

    def verdict(self, row: int) -> Verdict | None: ...


def curate(
    corpus: "pl.DataFrame",
    seeds: "pl.DataFrame",
    pool_embeddings: "np.ndarray",
    seed_embeddings: "np.ndarray",
    row_embeddings: "np.ndarray",
    questions: list[tuple[str, str, list[str]]],
    settings: Curation,
    progress: Progress = silent,
    plugins: Sequence[Plugin] = (),
) -> "pl.DataFrame":
    """The CuratedCorpus table: every row of `corpus` in its order, with verdict, reason, evidence and scores.

    `seeds` is the teacher's subset, `seed_embeddings` its prompts' (s, d); `pool_embeddings` (n, d) are those of the
    whole seed pool; `row_embeddings` (m, d) those of the completed rows' prompts, in order. `plugins` are the filters and
    verifiers that the settings name, from `plugins.locate_rules`. Raises NomadError when one of them fails.
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
    rows = CorpusRows(corpus, seeds, questions, scores)
    verdicts = _judged(rows, _makers(settings, plugins, list(Stage)), progress)
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
    plugins: Sequence[Plugin] = (),
) -> list[Verdict]:
    """The verdicts of every rule that needs no embeddings: all but the selection among rows that pass."""
    stages = [stage for stage in Stage if stage < Stage.SELECTION]
    return _judged(CorpusRows(corpus, seeds, questions, {}), _makers(settings, plugins, stages), progress)


def _makers(
    settings: Curation, plugins: Sequence[Plugin], stages: Iterable[Stage]
) -> list[Callable[[CorpusRows], Judge]]:
    """What makes each rule of some stages, in the order in which they judge."""
    makers: list[Callable[[CorpusRows], Judge]] = []
    for stage in stages:
        if stage == Stage.PLUG_IN:
            makers += open_user_rules(settings, plugins)
        makers += [
            lambda rows, rule=rule: rule(settings, rows) for rule in rules.all_rules().values() if rule.stage == stage
        ]
    return makers


def _judged(rows: CorpusRows, makers: list[Callable[[CorpusRows], Judge]], progress: Progress) -> list[Verdict]:
    """Each rule in turn over the rows that no earlier one dropped. Told is how many rows' worth of the work is done."""
    import numpy as np

    verdicts: list[Verdict | None] = [None] * len(rows)
    for turn, make in enumerate(makers):
        rule = make(rows)
        suspects = rule.suspects()
        asked = np.flatnonzero(rows.undecided if suspects is None else rows.undecided & suspects).tolist()
        for number, row in enumerate(asked, start=1):
            verdicts[row] = rule.verdict(row)
            if number % REPORT_EVERY == 0:
                progress("curation", (turn + number / len(asked)) / len(makers) * len(rows), len(rows), {})
        rows.undecided[[row for row in asked if verdicts[row] is not None]] = False
    if verdicts:
        progress("curation", len(rows), len(rows), {})
    return [verdict or PASSED for verdict in verdicts]


def reasons(settings: Curation | None = None) -> dict[str, str]:
    """Every reason for which a row may be dropped with the sentence on it, in the order of judging; with the settings'
    filters and verifiers where settings are given."""
    own = {} if settings is None else settings.user_rules()
    found: dict[str, str] = {}
    for stage in Stage:
        if stage == Stage.PLUG_IN:
            found |= {reason: f"dropped by `{rule.use}`" for reason, rule in own.items()}
        for rule in rules.all_rules().values():
            if rule.stage == stage:
                found |= rule.reasons
    return found


def reason_names(settings: Curation | None = None) -> tuple[str, ...]:
    """The names of `reasons`."""
    return tuple(reasons(settings))


def reason_counts(curated: "pl.DataFrame", settings: Curation | None = None) -> dict[str, int]:
    """Rows per reason, kept first, then in the order of judging, then the plug-ins' where no settings say their order."""
    found = Counter(curated["reason"].to_list())
    known = (KEPT, *reason_names(settings))
    return {reason: found[reason] for reason in (*known, *sorted(set(found) - set(known))) if found[reason]}
