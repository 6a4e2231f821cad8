"""What is new in a store into an open lineage database.

The store's listing is compared with what the database has read, and the difference is loaded. Each batch is one transaction,
so that a sync may be interrupted at any moment.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.lineage.tables import TABLES, TAKEN, Taken
from nomad_assets.steps.synthesis import synthetic_corpus
from nomad_assets.store.manifests import Manifest
from nomad_assets.store.protocol import Store

if TYPE_CHECKING:
    import duckdb

BATCH_ARTIFACTS, BATCH_ROWS = 1000, 1_000_000
There = dict[str, tuple[int, bool]]  # key of the store's listing -> its stamp, and whether it is pruned


def load_new(connection: "duckdb.DuckDBPyConnection", store: Store) -> int:
    """Bring the tables up to date with the store; the number of artifacts read."""
    import duckdb

    published = store.listing()  # first: a version that is being pruned is then in one of the two
    there: There = {key: (stamp, True) for key, stamp in store.listing(pruned=True).items()}
    there |= {key: (stamp, False) for key, stamp in published.items()}
    rows = connection.execute("SELECT folder, artifact_id, stamp, pruned FROM synced").fetchall()
    known = {key: (stamp, pruned) for key, _, stamp, pruned in rows}
    outdated = [artifact_id for key, artifact_id, *_ in rows if there.get(key) != known[key]]
    # Synthetic corpora first: the rows of a curated one name the teacher that its corpus was written by.
    new = sorted(
        (key for key, state in there.items() if known.get(key) != state),
        key=lambda key: (not key.startswith(f"{synthetic_corpus.name}/"), key),
    )
    try:
        if outdated:
            _delete(connection, outdated)
        loaded = 0
        for batch in _batches(store, new, there):
            _load_batch(connection, store, batch, there)
            loaded += len(batch)
        _load_withdrawals(connection, store)
    except duckdb.Error as error:
        raise NomadError(
            f"{store.database} could not be brought up to date: {error}; nomad-assets lineage sync --rebuild makes it anew"
        ) from error
    return loaded


@contextlib.contextmanager
def transaction(connection: "duckdb.DuckDBPyConnection") -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _batches(store: Store, keys: list[str], there: There) -> Iterator[dict[str, Manifest]]:
    """Manifests by key, as many at a time as bounded memory allows."""
    batch: dict[str, Manifest] = {}
    rows = 0
    for key in keys:
        try:
            manifest = store.manifest(key, pruned=there[key][1])
        except FileNotFoundError:
            continue  # pruned a moment ago; the next sync finds its record
        batch[key] = manifest
        rows += manifest.rows or 0
        if len(batch) >= BATCH_ARTIFACTS or rows >= BATCH_ROWS:
            yield batch
            batch, rows = {}, 0
    if batch:
        yield batch


def _load_batch(
    connection: "duckdb.DuckDBPyConnection", store: Store, batch: dict[str, Manifest], there: There
) -> None:
    """Load a batch, or when a table in it is damaged, one artifact at a time and that one without its tables."""
    import duckdb

    try:
        with transaction(connection):
            _load(connection, store, batch, there)
    except duckdb.Error as error:
        _no_fault_of_a_table(error)
        for key, manifest in batch.items():
            try:
                with transaction(connection):
                    _load(connection, store, {key: manifest}, there)
            except duckdb.Error as error:
                _no_fault_of_a_table(error)
                with transaction(connection):
                    _load(connection, store, {key: manifest}, there, tables=False)  # the checks say what is wrong


def _no_fault_of_a_table(error: Exception) -> None:
    """Raises the error again when memory or disk ran out: the next sync then reads the tables, and none is given up."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error):
        raise error


def _delete(connection: "duckdb.DuckDBPyConnection", artifact_ids: list[str]) -> None:
    """Forget versions that are gone, replaced or pruned since; what is still there is read again."""
    with transaction(connection):
        for table, column in {**{name: "artifact_id" for name in (*TABLES, "synced")}, "edges": "child_id"}.items():
            if table != "withdrawals":
                connection.execute(f'DELETE FROM "{table}" WHERE {column} IN (SELECT unnest(?))', [artifact_ids])


def _load(
    connection: "duckdb.DuckDBPyConnection",
    store: Store,
    batch: dict[str, Manifest],
    there: There,
    tables: bool = True,
) -> None:
    import polars as pl

    found: dict[str, list[tuple]] = {name: [] for name in ("artifacts", "edges", "files", "metrics", "synced")}
    for key, manifest in batch.items():
        stamp, pruned = there[key]
        child = manifest.artifact_id
        found["artifacts"].append(_artifact(key, manifest, pruned))
        found["edges"] += [(parent, child, place, manifest.reads[place]) for place, parent in manifest.parents.items()]
        found["files"] += [(child, path, file["bytes"], file["sha256"]) for path, file in manifest.files.items()]
        found["metrics"] += [(child, name, *_metric(value)) for name, value in manifest.metrics.items()]
        found["synced"].append((key, child, stamp, pruned))
    for name, rows in found.items():
        if rows:
            connection.register("incoming", pl.DataFrame(rows, orient="row", infer_schema_length=None))
            connection.execute(f'INSERT INTO "{name}" SELECT * FROM incoming')
            connection.unregister("incoming")
    if tables:
        for name, taken in TAKEN.items():
            for pruned in (False, True):
                chosen = {key: manifest for key, manifest in batch.items() if there[key][1] == pruned}
                _load_table(connection, store, name, taken, chosen, pruned)


def _artifact(key: str, manifest: Manifest, pruned: bool) -> tuple:
    cell = Cell.of_label(manifest.partition)
    return (
        manifest.artifact_id, manifest.asset, manifest.partition, cell.train_size,
        None if cell.train_size is None else cell.replicate, cell.arm, cell.variant,
        manifest.version, pruned, key, manifest.fingerprint, manifest.content_digest, manifest.code_version,
        manifest.run_id, _utc(manifest.started), _utc(manifest.ended), manifest.seconds, manifest.rows, manifest.tokens,
        manifest.peak_memory_bytes, None if manifest.seed is None else str(manifest.seed),
        json.dumps(manifest.settings, sort_keys=True), json.dumps(manifest.libraries, sort_keys=True),
        json.dumps(manifest.host, sort_keys=True),
    )  # fmt: skip


def _utc(seconds: float) -> str:
    """A time as DuckDB reads it; text, so that no time zone of a machine comes into it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}"


def _metric(value: object) -> tuple[float | None, str | None]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), None
    return None, value if isinstance(value, str) else json.dumps(value)


def _load_table(
    connection: "duckdb.DuckDBPyConnection",
    store: Store,
    target: str,
    taken: Taken,
    manifests: dict[str, Manifest],
    pruned: bool,
) -> None:
    """Rows of a stored table of each artifact (t), read by DuckDB itself, beside the artifact's own facts (m)."""
    import polars as pl

    files = {}
    for key, manifest in manifests.items():
        name = taken.files.get(manifest.asset)
        path = store.file(key, name, pruned) if name else None
        if path is not None:  # a missing one is reported by the checks
            files[str(path)] = manifest
    if not files:
        return
    own = [f'm."{name}"' for name in taken.own]
    of_row = [f't."{name}"' if pruned else f'{sql} AS "{name}"' for name, sql in taken.selected().items()]
    known = [(path, m.artifact_id, _parent(m, synthetic_corpus.name)) for path, m in files.items()]
    schema = {"filename": pl.String, "artifact_id": pl.String, "corpus_id": pl.String}
    connection.register("incoming", pl.DataFrame(known, schema=schema, orient="row"))
    connection.execute(
        f"""INSERT INTO "{target}" BY NAME
            SELECT {", ".join(own + of_row)} FROM read_parquet(?, filename = true, union_by_name = true) t
            JOIN (
              SELECT i.*, e.parent_id AS teacher_id FROM incoming i
              LEFT JOIN edges e ON e.child_id = i.corpus_id AND e.parent_place LIKE 'teacher_model/%'
            ) m USING (filename)""",
        [list(files)],
    )
    connection.unregister("incoming")


def _parent(manifest: Manifest, asset: str) -> str | None:
    return next((parent for place, parent in manifest.parents.items() if place.startswith(f"{asset}/")), None)


def _load_withdrawals(connection: "duckdb.DuckDBPyConnection", store: Store) -> None:
    first = {row: (row, _utc(w["time"]), w["reason"]) for w in reversed(store.withdrawals()) for row in w["rows"]}
    rows = list(first.values())
    with transaction(connection):
        connection.execute("DELETE FROM withdrawals")
        if rows:
            connection.executemany("INSERT INTO withdrawals VALUES (?, ?, ?)", rows)
