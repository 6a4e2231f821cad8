"""The seed pool: validated rows from all sources, without repeats and without benchmark questions."""

from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.overlap import ContaminationIndex, tokens
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.recipe.sources import Row, Rows

if TYPE_CHECKING:
    import polars as pl


def build_pool(
    sources: list[Rows], questions: list[tuple[str, str, list[str]]], seed: int
) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """(pool, left out): tables of the SeedExamples and LeftOut schemas.

    The pool's order is the order in which train sizes take rows: shuffled within each source by `seed`, the sources
    interleaved in proportion to their sizes. So every subset is the head of the pool, and mixes the sources.
    Raises NomadError when nothing is left.
    """
    import polars as pl

    index = ContaminationIndex(questions)
    seen: dict[tuple, Row] = {}
    left_out = [entry for rows in sources for entry in rows.left_out]
    kept: list[tuple[float, int, Row]] = []
    for number, rows in enumerate(sources):
        usable: list[Row] = []
        for row in rows.rows:
            reason, evidence = _objection(row, seen, index)
            if reason is not None:
                left_out.append({"source": row.source, "row": row.number, "reason": reason, "evidence": evidence})
                continue
            seen[(*tokens(row.prompt), None, *tokens(row.response))] = row
            usable.append(row)
        usable.sort(key=lambda row: derive_seed(seed, row.id, bits=63))
        kept.extend(((place + 0.5) / len(usable), number, row) for place, row in enumerate(usable))
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


def _objection(row: Row, seen: dict[tuple, Row], index: ContaminationIndex) -> tuple[str | None, str]:
    twin = seen.get((*tokens(row.prompt), None, *tokens(row.response)))
    if twin is not None:
        return "repeat", f"same as {twin.source} row {twin.number}"
    overlap = index.find(row.prompt, row.response)
    if overlap is not None:
        return "benchmark_question", f"{overlap.question_id}: {overlap.question}"
    return None, ""


def take_subset(pool: "pl.DataFrame", size: int) -> "pl.DataFrame":
    """The first `size` rows of the pool. Raises NomadError when the pool is smaller."""
    if size > pool.height:
        raise NomadError(
            f"grid.train_sizes: {size} is larger than the seed pool of {pool.height} rows; use at most {pool.height}"
        )
    return pool.head(size)
