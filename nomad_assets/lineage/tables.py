"""The tables, views and macros of `lineage.duckdb`, with what each column means.

Raising VERSION makes the next sync build the file anew: it holds nothing that the store does not.
"""

VERSION = 1

# table -> (what it holds, {column: (type, what it means and its unit)})
TABLES: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "artifacts": (
        "One row per version of an artifact, pruned ones included.",
        {
            "artifact_id": ("VARCHAR", "asset, partition and 12 hex digits"),
            "asset": ("VARCHAR", "asset name"),
            "partition": ("VARCHAR", "train size, or train size/arm; - for an unpartitioned asset"),
            "train_size": ("BIGINT", "seed examples; null for an unpartitioned asset"),
            "arm": ("VARCHAR", "null where the asset has none"),
            "version": ("BIGINT", "counts from 1 within asset and partition"),
            "pruned": ("BOOLEAN", "whether its files are gone"),
            "folder": ("VARCHAR", "below the store's root"),
            "input_digest": ("VARCHAR", "sha256 of code version, settings and what was read of the parents"),
            "content_digest": ("VARCHAR", "sha256 over the digests of its files"),
            "code_version": ("VARCHAR", "of the asset"),
            "run_id": ("VARCHAR", "Dagster run"),
            "started": ("TIMESTAMP", "UTC"),
            "ended": ("TIMESTAMP", "UTC"),
            "seconds": ("DOUBLE", "wall time of the step, without waiting"),
            "rows": ("BIGINT", "rows of its main table"),
            "tokens": ("BIGINT", "tokens trained on or generated"),
            "peak_memory_bytes": ("BIGINT", "peak resident memory of the step's process"),
            "seed": ("HUGEINT", "seed of the step's random choices"),
            "settings": ("JSON", "the profile keys it depends on"),
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
    "examples": (
        "One row per synthetic row and version of its curated corpus.",
        {
            "artifact_id": ("VARCHAR", "the curated corpus"),
            "corpus_id": ("VARCHAR", "the synthetic corpus"),
            "teacher_id": ("VARCHAR", "the teacher that wrote it"),
            "id": ("VARCHAR", "cell/attempt-response"),
            "content_md5": ("VARCHAR", "of prompt and response"),
            "attempt": ("BIGINT", "counts from 0 within the corpus"),
            "prompt_end": ("VARCHAR", "completed, length, empty or malformed"),
            "response_end": ("VARCHAR", "the same, or not_attempted"),
            "prompt_tokens": ("BIGINT", "generated, with the end-of-turn token"),
            "response_tokens": ("BIGINT", "generated, with the end-of-turn token"),
            "prompt_seed": ("BIGINT", "sample seed of the prompt"),
            "response_seed": ("BIGINT", "sample seed of the response"),
            "verdict": ("VARCHAR", "kept or dropped"),
            "reason": ("VARCHAR", "kept, or the rule it broke"),
            "evidence": ("VARCHAR", "twin, question, equation or bounds behind the reason"),
            "evidence_similarity": ("DOUBLE", "0 to 1"),
            "relevance": ("DOUBLE", "NormSim_2 to the seed pool, 0 to 1"),
            "novelty": ("DOUBLE", "1 - cosine to the nearest seed row of the teacher, 0 to 2"),
            "nearest_seed": ("VARCHAR", "id of that seed row"),
        },
    ),
    "scores": (
        "One row per benchmark and metric of a scored model.",
        {
            "artifact_id": ("VARCHAR", "student_scores, control_scores or base_scores"),
            "benchmark": ("VARCHAR", ""),
            "metric": ("VARCHAR", ""),
            "n": ("BIGINT", "questions"),
            "mean": ("DOUBLE", "share; answer_logprob in nats per token"),
            "low": ("DOUBLE", "lower end of the 95% bootstrap interval"),
            "high": ("DOUBLE", "upper end"),
        },
    ),
    "seeds": (
        "One row per seed example and version of the pool.",
        {
            "artifact_id": ("VARCHAR", "the seed_examples artifact"),
            "id": ("VARCHAR", "16 hex digits of the sha256 over prompt and response"),
            "position": ("BIGINT", "place in the pool from 0; a subset of size n holds the rows below n"),
            "source": ("VARCHAR", "file or hub name"),
            "source_row": ("BIGINT", "1-based row in the source"),
            "source_id": ("VARCHAR", "the id the source gave, if any"),
        },
    ),
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
        "The newest version in each place.",
        """SELECT * FROM artifacts
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
        "Seconds and tokens of teacher, synthesis and curation per kept row, in each cell.",
        """WITH kept AS (
             SELECT artifact_id, any_value(corpus_id) AS corpus_id, any_value(teacher_id) AS teacher_id,
                    count(*) FILTER (verdict = 'kept') AS kept
             FROM examples GROUP BY artifact_id
           )
           SELECT c."partition" AS cell, k.kept,
                  t.seconds + s.seconds + c.seconds AS seconds,
                  coalesce(t.tokens, 0) + coalesce(s.tokens, 0) AS tokens,
                  (t.seconds + s.seconds + c.seconds) / nullif(k.kept, 0) AS seconds_per_kept_row,
                  (coalesce(t.tokens, 0) + coalesce(s.tokens, 0)) / nullif(k.kept, 0) AS tokens_per_kept_row
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
    # A pool holds its rows; a subset those below its size; a curated corpus is measured against the whole pool; the
    # tokenizer of the tiny random model is trained on the seed sources. From there on, whatever was made of them.
    "reached_by(seed_rows)": (
        "Every artifact that any of these seed rows reached (a list of ids), superseded and pruned ones included.",
        """WITH RECURSIVE pools AS (
             SELECT artifact_id, position FROM seeds WHERE list_contains(seed_rows, id)
           ), start AS (
             SELECT artifact_id FROM pools
             UNION SELECT e.child_id FROM pools p JOIN edges e ON e.parent_id = p.artifact_id
               JOIN artifacts a ON a.artifact_id = e.child_id
               WHERE a.asset = 'seed_subset' AND p.position < a."rows"
             UNION SELECT artifact_id FROM artifacts
               WHERE asset = 'base_model' AND settings->>'source' = 'tiny-random' AND EXISTS (FROM pools)
                 AND NOT list_has_all(coalesce(CAST(settings->'$.withdrawn' AS VARCHAR[]), []), seed_rows)
           ), reached AS (
             SELECT artifact_id FROM start
             UNION SELECT e.child_id FROM reached r JOIN edges e ON e.parent_id = r.artifact_id
               JOIN artifacts a ON a.artifact_id = e.child_id WHERE a.asset <> 'seed_subset'
           ) SELECT a.* FROM artifacts a JOIN reached USING (artifact_id) ORDER BY asset, "partition", version""",
    ),
    "cells_of_seed(seed_row)": (
        "Cells whose teacher was trained on this seed row, with the number of rows nearest to it.",
        """WITH taught AS (
             SELECT DISTINCT t.artifact_id, t."partition", t.train_size FROM current_artifacts t
             JOIN edges e ON e.child_id = t.artifact_id JOIN artifacts s ON s.artifact_id = e.parent_id
             JOIN edges p ON p.child_id = s.artifact_id JOIN seeds r ON r.artifact_id = p.parent_id
             WHERE t.asset = 'teacher_model' AND s.asset = 'seed_subset' AND r.id = seed_row AND r.position < s."rows"
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
