"""The seed pool: validated rows from all sources, without repeats and without benchmark questions."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.curation.contamination import ContaminationIndex, folded
from nomad_assets.recipe.data.sources import Row, Rows
from nomad_assets.recipe.seeding import derive_seed

if TYPE_CHECKING:
    import polars as pl


def build_pool(
    sources: list[Rows],
    questions: list[tuple[str, str, list[str]]],
    seed: int,
    withdrawn: Mapping[str, Mapping] | None = None,
) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """(pool, left out): tables of the SeedExamples and LeftOut schemas.

    The pool's order is the order in which train sizes take rows: shuffled within each source by `seed`, the sources
    interleaved in proportion to their sizes. So every subset is the head of the pool, and mixes the sources.
    Rows in `withdrawn` (id -> `source`, `key`) and their repeats are left out; the others keep their order, as if only
    they were cut out. `source` is empty for a row that was not in the pool when it was withdrawn.
    Raises NomadError when nothing is left.
    """
    import polars as pl

    withdrawn = withdrawn or {}
    keys = {facts["key"]: row_id for row_id, facts in withdrawn.items()}
    read = {row.id for rows in sources for row in rows.rows}
    absent = {row_id: facts["source"] for row_id, facts in withdrawn.items() if facts["source"] and row_id not in read}
    index = ContaminationIndex(questions)
    seen: dict[bytes, Row] = {}
    left_out = [entry for rows in sources for entry in rows.left_out]
    kept: list[tuple[float, int, Row]] = []
    for number, rows in enumerate(sources):
        usable: dict[str, Row | None] = {}  # by id; None where it was withdrawn
        for row in rows.rows:
            key = content_key(row.prompt, row.response)
            reason, evidence = _objection(row, seen.get(key), index)
            if reason is None and (row.id in withdrawn or key.hex() in keys):
                reason, evidence = "withdrawn", row.id if row.id in withdrawn else f"repeat of {keys[key.hex()]}"
                seen[key] = row
                if withdrawn.get(row.id, {}).get("source"):
                    usable[row.id] = None
            if reason is not None:
                left_out.append({"source": row.source, "row": row.number, "reason": reason, "evidence": evidence})
                continue
            seen[key] = row
            usable[row.id] = row
        # A withdrawn row keeps its place in the count, also after it was deleted from the source: the sources are
        # interleaved by their sizes, and every other row would move.
        names = {row.source for row in rows.rows}
        cut_out = [row_id for row_id, source in absent.items() if source in names]
        for row_id in cut_out:
            del absent[row_id]
            usable[row_id] = None
        order = sorted(usable, key=lambda row_id: derive_seed(seed, row_id, bits=63))
        kept.extend(((p + 0.5) / len(order), number, usable[i]) for p, i in enumerate(order) if usable[i] is not None)
    if not kept:
        raise NomadError("seeds: every row was left out as a repeat or as a benchmark question; give other seed rows")
    kept.sort(key=lambda entry: entry[:2])
    pool = pl.DataFrame(
        [
            {
                "id": row.id, "position": position, "prompt": row.prompt, "response": row.response, "source": row.source,
                "source_row": row.number, "source_id": row.given_id,
            }
            for position, (_, _, row) in enumerate(kept)
        ],
        schema={"id": str, "position": int, "prompt": str, "response": str, "source": str, "source_row": int, "source_id": str},
    )  # fmt: skip
    return pool, pl.DataFrame(left_out, schema={"source": str, "row": int, "reason": str, "evidence": str})


def content_key(prompt: str, response: str) -> bytes:
    """Equal for rows that repeat each other; 16 bytes, since the words of a million rows would fill gigabytes."""
    words = "\0".join((*folded(prompt), "", *folded(response)))
    return hashlib.sha256(words.encode()).digest()[:16]


def _objection(row: Row, twin: Row | None, index: ContaminationIndex) -> tuple[str | None, str]:
    if twin is not None:
        return "repeat", f"same as {twin.source} row {twin.number}"
    overlap = index.find(row.prompt, row.response)
    if overlap is not None:
        return "benchmark_question", f"{overlap.question_id}: {overlap.question}"
    return None, ""


def take_subset(pool: "pl.DataFrame", size: int, key: str = "grid.train_sizes") -> "pl.DataFrame":
    """The first `size` rows of the pool. Raises NomadError that names the key when the pool is smaller."""
    if size > pool.height:
        raise NomadError(f"{key}: {size} is larger than the seed pool of {pool.height} rows; use at most {pool.height}")
    return pool.head(size)


def reordered(pool: "pl.DataFrame", seed: int) -> "pl.DataFrame":
    """The pool in another order: each source shuffled by `seed`, the sources interleaved in proportion to their sizes.

    A row's place among those of its source hangs on its id, so a row that is added moves no other past its neighbours.
    """
    import polars as pl

    drawn = pl.Series("drawn", [derive_seed(seed, row_id, bits=63) for row_id in pool["id"]], dtype=pl.Int64)
    place = (pl.col("drawn").rank("ordinal").over("source") - 0.5) / pl.len().over("source")
    first = (
        pl.col("position").min().over("source")
    )  # which of two sources comes first where both have a row at one place
    return pool.with_columns(drawn).sort(place, first).drop("drawn")
