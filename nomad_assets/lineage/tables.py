"""The tables, views and macros of `lineage.duckdb`, with the meaning of each column.

Columns of stored tables are described in their models; here stands only which of them lineage holds. A pruned version keeps
exactly these. Raising VERSION makes the next sync build the file anew: it holds nothing that the store does not.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

from nomad_assets.engine.graph import tables_of
from nomad_assets.engine.tables import Table
from nomad_assets.steps import GRAPH
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.steps.models import TrainingRows
from nomad_assets.steps.scores import Scores
from nomad_assets.steps.seeds import SeedExamples, SeedSubset

VERSION = 5
TYPES = {pl.String: "VARCHAR", pl.Int64: "BIGINT", pl.Float64: "DOUBLE", pl.Boolean: "BOOLEAN"}
# Reasons whose evidence names a twin, a question or bounds. Other evidence may repeat the row's own text: it goes with it.
NAMING = (
    "not_completed", "exact_repeat", "near_repeat", "seed_copy", "near_seed_copy", "contaminated", "outside_band",
    "over_target",
)  # fmt: skip

Columns = dict[str, tuple[str, str]]  # name -> (DuckDB type, meaning and unit)


@dataclass(frozen=True)
class Computed:
    """A column that is computed from a row of the stored table."""

    sql: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Taken:
    """What lineage holds of a stored table, a row per stored row and version, wherever a step stores it."""

    about: str
    table: type[Table]
    own: Columns
    """Ids of the artifact and of artifacts above it."""
    columns: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Column of the stored table -> its name here, where that is another one."""
    computed: Mapping[str, Computed] = field(default_factory=lambda: MappingProxyType({}))
    when_pruned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Column -> SQL for the part of it that outlasts the version, where that is not all."""

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """Asset -> the file that holds such a table."""
        return {asset: GRAPH[asset].file_of(self.table) for asset in tables_of(GRAPH)[self.table]}

    @property
    def described(self) -> Columns:
        """All columns, with types and meanings out of the model of the stored table."""
        specs = self.table.to_schema().columns
        found = {
            self.renamed.get(name, name): (TYPES[specs[name].dtype.type], specs[name].description)
            for name in self.columns
        }
        return {**self.own, **found, **{name: (c.type, c.meaning) for name, c in self.computed.items()}}

    def selected(self) -> dict[str, str]:
        """Column here -> SQL over a row of the stored table; without the artifact's own."""
        found = {self.renamed.get(name, name): f'"{name}"' for name in self.columns}
        return {**found, **{name: column.sql for name, column in self.computed.items()}}

    def recorded(self) -> dict[str, str]:
        """The same for what is kept of a version that is pruned."""
        return {**self.selected(), **self.when_pruned}


TAKEN = {
    "examples": Taken(
        "One row per synthetic row and version of its curated corpus.",
        CuratedCorpus,
        own={
            "artifact_id": ("VARCHAR", "the curated corpus"),
            "corpus_id": ("VARCHAR", "the synthetic corpus"),
            "teacher_id": ("VARCHAR", "the teacher that wrote it"),
        },
        columns=(
            "id", "attempt", "prompt_end", "response_end", "prompt_tokens", "response_tokens", "prompt_seed", "response_seed",
            "verdict", "reason", "evidence", "evidence_similarity", "normsim_2", "novelty", "nearest_seed",
        ),
        renamed={"normsim_2": "relevance"},
        computed={
            "content_md5": Computed(
                "md5(prompt || chr(0) || coalesce(response, ''))", "VARCHAR", "of prompt and response"
            )
        },
        when_pruned={"evidence": f"CASE WHEN reason IN {NAMING} THEN evidence END"},
    ),
    "scores": Taken(
        "One row per benchmark and metric of a scored model.",
        Scores,
        own={"artifact_id": ("VARCHAR", "the scores of the model")},
        columns=("benchmark", "metric", "n", "mean", "low", "high"),
    ),
    "seeds": Taken(
        "One row per seed example and version of the pool.",
        SeedExamples,
        own={"artifact_id": ("VARCHAR", "the seed_examples artifact")},
        columns=("id", "position", "source", "source_row", "source_id"),
    ),
    "subset_seeds": Taken(
        "One row per seed example and version of a subset.",
        SeedSubset,
        own={"artifact_id": ("VARCHAR", "the seed_subset artifact")},
        columns=("id",),
    ),
    "trained_rows": Taken(
        "One row per row that a model was trained on, and version of the model.",
        TrainingRows,
        own={"artifact_id": ("VARCHAR", "the model")},
        columns=("id", "tokens", "supervised_tokens", "used"),
    ),
}  # fmt: skip

# table -> (its content, its columns)
TABLES: dict[str, tuple[str, Columns]] = {
    "artifacts": (
        "One row per version of an artifact, pruned ones included.",
        {
            "artifact_id": ("VARCHAR", "asset, partition and 12 hex digits"),
            "asset": ("VARCHAR", "asset name"),
            "partition": (
                "VARCHAR",
                "train size, or train size/arm, and @ with a control or selection; - for an unpartitioned asset",
            ),
            "train_size": ("BIGINT", "seed examples; null for an unpartitioned asset"),
            "replicate": ("BIGINT", "from 0; null for an unpartitioned asset"),
            "arm": ("VARCHAR", "null where the asset has none"),
            "variant": ("VARCHAR", "selection of an arm's rows, or control; null for the one without a name"),
            "version": ("BIGINT", "counts from 1 within asset and partition"),
            "pruned": ("BOOLEAN", "whether its files are gone"),
            "folder": ("VARCHAR", "below the store's root"),
            "fingerprint": ("VARCHAR", "sha256 of code version, settings and what was read of the parents"),
            "content_digest": ("VARCHAR", "sha256 over the digests of its files"),
            "code_version": ("VARCHAR", "of the asset"),
            "run_id": ("VARCHAR", "run that made it"),
            "started": ("TIMESTAMP", "UTC"),
            "ended": ("TIMESTAMP", "UTC"),
            "seconds": ("DOUBLE", "wall time of the step, without waiting"),
            "rows": ("BIGINT", "rows of its main table"),
            "tokens": ("BIGINT", "tokens trained on or generated"),
            "peak_memory_bytes": ("BIGINT", "peak resident memory of the step's process"),
            "seed": ("HUGEINT", "seed of the step's random choices"),
            "settings": ("JSON", "the part of its config that its content depends on"),
            "libraries": ("JSON", "package -> version"),
            "host": ("JSON", "machine, system, python, cpus, device"),
        },
    ),
    "edges": (
        "One row per parent of an artifact.",
        {
            "parent_id": ("VARCHAR", "artifact that was read"),
            "child_id": ("VARCHAR", "artifact that was made"),
            "parent_place": ("VARCHAR", "asset/partition of the parent"),
            "read_digest": ("VARCHAR", "sha256 of what was read of the parent"),
        },
    ),
    "files": (
        "One row per file of an artifact.",
        {
            "artifact_id": ("VARCHAR", ""),
            "path": ("VARCHAR", "below the artifact's folder"),
            "bytes": ("BIGINT", "size"),
            "sha256": ("VARCHAR", "hex"),
        },
    ),
    "metrics": (
        "One row per metric of an artifact.",
        {
            "artifact_id": ("VARCHAR", ""),
            "name": ("VARCHAR", "unit by name: *_tokens, *_rate (share), loss_* (nats); scores are shares or nats"),
            "value": ("DOUBLE", "null when it is not a number"),
            "text": ("VARCHAR", "what is not a number; lists as JSON"),
        },
    ),
    **{name: (taken.about, taken.described) for name, taken in TAKEN.items()},
    "withdrawals": (
        "One row per withdrawn seed row.",
        {
            "id": ("VARCHAR", "seed row"),
            "withdrawn": ("TIMESTAMP", "UTC"),
            "reason": ("VARCHAR", "as given"),
        },
    ),
}

# Which version of which folder was read, so that a sync reads only what is new.
SYNCED = "CREATE TABLE synced (folder VARCHAR, artifact_id VARCHAR, stamp BIGINT, pruned BOOLEAN)"

VIEWS = {
    "current_artifacts": (
        "The newest version in each place; none where all were pruned.",
        """SELECT * FROM artifacts WHERE NOT pruned
           QUALIFY row_number() OVER (PARTITION BY asset, "partition" ORDER BY version DESC) = 1""",
    ),
    "drops": (
        "What was dropped and why: rows per rule and cell, in the current corpora.",
        """WITH judged AS (
             SELECT a."partition" AS cell, a.train_size, e.reason, e.verdict, count(*) AS "rows"
             FROM examples e JOIN current_artifacts a USING (artifact_id) GROUP BY ALL
           )
           SELECT cell, reason, "rows", "rows" / (SELECT sum(t."rows") FROM judged t WHERE t.cell = j.cell) AS share
           FROM judged j WHERE verdict = 'dropped' ORDER BY train_size, cell, "rows" DESC, reason""",
    ),
    "cost_per_kept_row": (
        "Seconds of teacher, synthesis and curation, and all tokens written (prompts and responses of all attempts), per kept row of "
        "each cell.",
        """WITH kept AS (
             SELECT artifact_id, any_value(corpus_id) AS corpus_id, any_value(teacher_id) AS teacher_id,
                    count(*) FILTER (verdict = 'kept') AS kept
             FROM examples GROUP BY artifact_id
           )
           SELECT c."partition" AS cell, k.kept,
                  t.seconds + s.seconds + c.seconds AS seconds,
                  s.tokens,
                  (t.seconds + s.seconds + c.seconds) / nullif(k.kept, 0) AS seconds_per_kept_row,
                  s.tokens / nullif(k.kept, 0) AS tokens_per_kept_row
           FROM kept k JOIN current_artifacts c USING (artifact_id)
           JOIN artifacts s ON s.artifact_id = k.corpus_id JOIN artifacts t ON t.artifact_id = k.teacher_id
           ORDER BY c.train_size, cell""",
    ),
    "missing_parents": (
        "Parents that no manifest describes: empty in a complete store.",
        "SELECT DISTINCT child_id, parent_id FROM edges WHERE parent_id NOT IN (SELECT artifact_id FROM artifacts)",
    ),
}

# name(parameters) -> (what it answers, query)
MACROS = {
    "hanging_on(artifact)": (
        "Every artifact that was made from this one, directly or not.",
        """WITH RECURSIVE below AS (
             SELECT child_id AS artifact_id FROM edges WHERE parent_id = artifact
             UNION SELECT e.child_id FROM edges e JOIN below b ON e.parent_id = b.artifact_id
           ) SELECT a.* FROM artifacts a JOIN below USING (artifact_id) ORDER BY asset, "partition", version""",
    ),
    # A pool holds its rows; a subset and a model say which they have of it; a curated corpus is measured against the whole pool; the
    # tokenizer of the tiny random model is trained on the seed sources. From there on, whatever was made of them.
    "reached_by(seed_rows)": (
        "Every artifact that any of these seed rows reached (a list of ids), superseded and pruned ones included.",
        """WITH RECURSIVE pools AS (
             SELECT artifact_id FROM seeds WHERE list_contains(seed_rows, id)
           ), start AS (
             SELECT artifact_id FROM pools
             UNION SELECT artifact_id FROM subset_seeds WHERE list_contains(seed_rows, id)
             UNION SELECT artifact_id FROM trained_rows WHERE list_contains(seed_rows, id)
             UNION SELECT artifact_id FROM artifacts
               WHERE asset = 'base_model' AND json_array_length(settings->'tokenizer_corpus') > 0 AND EXISTS (FROM pools)
                 AND NOT list_has_all(coalesce(json_keys(settings->'withdrawn'), []), seed_rows)
           ), reached AS (
             SELECT artifact_id FROM start
             UNION SELECT e.child_id FROM reached r JOIN edges e ON e.parent_id = r.artifact_id
               JOIN artifacts a ON a.artifact_id = e.child_id
               WHERE e.parent_place <> 'seed_examples/-' OR a.asset NOT IN ('seed_subset', 'student_model', 'control_model')
           ) SELECT a.* FROM artifacts a JOIN reached USING (artifact_id) ORDER BY asset, "partition", version""",
    ),
    "cells_of_seed(seed_row)": (
        "Cells whose teacher was trained on this seed row, with the number of rows nearest to it.",
        """WITH taught AS (
             SELECT DISTINCT t.artifact_id, t."partition", t.train_size FROM current_artifacts t
             JOIN edges e ON e.child_id = t.artifact_id JOIN artifacts s ON s.artifact_id = e.parent_id
             JOIN subset_seeds r ON r.artifact_id = s.artifact_id
             WHERE t.asset = 'teacher_model' AND s.asset = 'seed_subset' AND r.id = seed_row
           ), corpora AS (
             SELECT x.* FROM examples x JOIN current_artifacts c USING (artifact_id)
           )
           SELECT t."partition" AS cell, count(x.id) FILTER (x.nearest_seed = seed_row) AS nearest_rows,
                  count(x.id) FILTER (x.nearest_seed = seed_row AND x.verdict = 'kept') AS nearest_kept_rows
           FROM taught t LEFT JOIN corpora x ON x.teacher_id = t.artifact_id
           GROUP BY t."partition", t.train_size ORDER BY t.train_size, cell""",
    ),
    "stale_scores(seed_row)": (
        "Current scores that would be out of date if this seed row were withdrawn.",
        """SELECT r.asset, r."partition" AS cell, s.benchmark, s.metric, s.mean, s.low, s.high
           FROM reached_by([seed_row]) r JOIN current_artifacts USING (artifact_id) JOIN scores s USING (artifact_id)
           ORDER BY r.asset, r.train_size, cell, s.benchmark, s.metric""",
    ),
    "corpus_changes(before, after)": (
        "Rows that differ between two versions of a curated corpus, in text or verdict; null where a row is absent.",
        """SELECT coalesce(a.id, b.id) AS id, a.content_md5 IS DISTINCT FROM b.content_md5 AS other_text, a.verdict AS verdict_before, a.reason AS reason_before,
                  b.verdict AS verdict_after, b.reason AS reason_after
           FROM (FROM examples WHERE artifact_id = before) a FULL JOIN (FROM examples WHERE artifact_id = after) b ON a.id = b.id
           WHERE (a.verdict, a.reason, a.content_md5) IS DISTINCT FROM (b.verdict, b.reason, b.content_md5) ORDER BY id""",
    ),
}


def statements() -> list[str]:
    """Everything that makes an empty file ours."""
    made = [SYNCED, "CREATE TABLE about (version INTEGER)", f"INSERT INTO about VALUES ({VERSION})"]
    for table, (text, columns) in TABLES.items():
        fields = ", ".join(f'"{name}" {kind}' for name, (kind, _) in columns.items())
        made.append(f'CREATE TABLE "{table}" ({fields})')
        made.append(f'COMMENT ON TABLE "{table}" IS {_quoted(text)}')
        made += [
            f'COMMENT ON COLUMN "{table}"."{name}" IS {_quoted(note)}' for name, (_, note) in columns.items() if note
        ]
    made += [f"CREATE VIEW {name} AS {query}" for name, (_, query) in VIEWS.items()]
    made += [f"CREATE MACRO {call} AS TABLE {query}" for call, (_, query) in MACROS.items()]
    return made


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
