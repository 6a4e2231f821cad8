"""Manifests and stored tables into `lineage.duckdb`, only what is new.

Manifests are the record; the file is a way to ask. So a sync compares the store's listing with what the file has read,
loads the difference, and may be interrupted at any moment: each batch is one transaction. Deleting the file loses nothing.

DuckDB locks a file per process, and a writer excludes readers. No step waits for it: `sync_if_free` gives up at once,
and whoever reads brings the file up to date first.
"""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.lineage.tables import TABLES, VERSION, statements
from nomad_assets.steps import SCORES
from nomad_assets.storage import PRUNED, Manifest, Store, read_manifest

if TYPE_CHECKING:
    import duckdb

FILE, LOCK = "lineage.duckdb", ".lineage.lock"
WAIT_SECONDS = 10.0
BATCH_ARTIFACTS, BATCH_ROWS = 1000, 1_000_000
MEMORY_LIMIT = "1GB"
# Columns of stored tables that lineage reads; a pruned version keeps just these.
EXAMPLE_COLUMNS = (
    "id", "attempt", "prompt_end", "response_end", "prompt_tokens", "response_tokens", "prompt_seed", "response_seed",
    "verdict", "reason", "evidence", "evidence_similarity", "normsim_2", "novelty", "nearest_seed",
)  # fmt: skip
SEED_COLUMNS = ("id", "position", "source", "source_row", "source_id")
SCORE_COLUMNS = ("benchmark", "metric", "n", "mean", "low", "high")
CONTENT = "md5(prompt || chr(0) || coalesce(response, ''))"


class InUseError(NomadError):
    """Another process has the file."""


def path_of(store: Store) -> Path:
    return store.root / FILE


def sync(store: Store, wait: float = WAIT_SECONDS) -> int:
    """Bring the file up to date; the number of artifacts read. Waits up to `wait` seconds for another process.

    A file of another version of this schema, or one that cannot be read, is built anew.
    Raises NomadError when the file stays locked.
    """
    with _open(store, wait) as connection:
        return _sync(connection, store)


def sync_if_free(store: Store) -> None:
    """Bring the file up to date unless another process has it, or it cannot be written: a step never fails by this."""
    import duckdb

    with contextlib.suppress(NomadError, duckdb.Error, OSError):
        sync(store, wait=0)


def rebuild(store: Store, wait: float = WAIT_SECONDS) -> int:
    """Build the file from nothing, beside the old one, and put it in its place; the number of artifacts read."""
    import duckdb

    fresh = store.root / f"{FILE}.rebuilt"
    with contextlib.ExitStack() as stack:
        fcntl.flock(stack.enter_context(open(store.root / LOCK, "w")), fcntl.LOCK_EX)  # one rebuild at a time
        for leftover in (fresh, fresh.with_name(f"{fresh.name}.wal")):
            leftover.unlink(missing_ok=True)
        with contextlib.suppress(duckdb.Error):  # held so that nobody writes into the old one meanwhile
            if path_of(store).is_file():
                stack.enter_context(contextlib.closing(_connect(path_of(store), wait, read_only=False)))
        count = _build(fresh, store)
        os.replace(fresh, path_of(store))
    return count


def _build(file: Path, store: Store) -> int:
    """Everything into a new file; the number of artifacts read."""
    with contextlib.closing(_connect(file, wait=0, read_only=False)) as connection:
        _create(connection)
        return _sync(connection, store)


@contextlib.contextmanager
def reading(store: Store, wait: float = WAIT_SECONDS) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A read-only connection to the file, brought up to date first. Raises NomadError when there is no store.

    Whoever may not write to the store, or waits in vain for somebody who has the file open, gets a file of their own for
    this one time: what the store holds now, never an old answer.
    """
    if not store.root.is_dir():
        raise no_store(store)
    with contextlib.ExitStack() as stack:
        connection = _shared(store, wait)
        if connection is None:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / FILE
            _build(file, store)
            connection = _connect(file, wait=0, read_only=True)
        yield stack.enter_context(contextlib.closing(connection))


def _shared(store: Store, wait: float) -> "duckdb.DuckDBPyConnection | None":
    """The store's own file, brought up to date; None where that cannot be had."""
    if not os.access(store.root, os.W_OK):
        return None
    try:
        sync(store, wait)
        return _connect(path_of(store), wait, read_only=True)
    except InUseError:
        return None


def no_store(store: Store) -> NomadError:
    return NomadError(f"{store.root}: there is no store here yet; run nomad-assets run first")


@contextlib.contextmanager
def _open(store: Store, wait: float) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A connection that may write, to a file that has our tables."""
    import duckdb

    store.root.mkdir(parents=True, exist_ok=True)
    try:
        connection = _connect(path_of(store), wait, read_only=False)
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'about'").fetchall():
            _create(connection)
        current = connection.execute("SELECT version FROM about").fetchall() == [(VERSION,)]
    except duckdb.Error:
        current, connection = False, None
    if not current:
        if connection is not None:
            connection.close()
        path_of(store).unlink(missing_ok=True)
        path_of(store).with_name(f"{FILE}.wal").unlink(missing_ok=True)
        rebuild(store, wait)
        connection = _connect(path_of(store), wait, read_only=False)
    with contextlib.closing(connection):
        yield connection


def _connect(path: Path, wait: float, read_only: bool) -> "duckdb.DuckDBPyConnection":
    import duckdb

    deadline = time.monotonic() + wait
    while True:
        try:
            # Questions read our tables and nothing else on the machine.
            outside = "false" if read_only else "true"
            config = {"memory_limit": MEMORY_LIMIT, "enable_external_access": outside}
            connection = duckdb.connect(str(path), read_only=read_only, config=config)
            connection.execute("SET enable_progress_bar = false")
            return connection
        except duckdb.IOException as error:
            if "could not set lock" not in str(error).lower():
                raise
            if time.monotonic() > deadline:
                raise InUseError(f"{path} is in use by another process; try again when it has ended: {error}") from None
            time.sleep(0.05)


def _create(connection: "duckdb.DuckDBPyConnection") -> None:
    with _transaction(connection):
        for statement in statements():
            connection.execute(statement)


def _sync(connection: "duckdb.DuckDBPyConnection", store: Store) -> int:
    import duckdb

    published = store.listing()  # first: a version that is being pruned is then in one of the two
    there = {folder: (stamp, True) for folder, stamp in store.listing(pruned=True).items()}
    there |= {folder: (stamp, False) for folder, stamp in published.items()}
    rows = connection.execute("SELECT folder, artifact_id, stamp, pruned FROM synced").fetchall()
    known = {folder: (stamp, pruned) for folder, _, stamp, pruned in rows}
    outdated = [artifact_id for folder, artifact_id, *_ in rows if there.get(folder) != known[folder]]
    # Synthetic corpora first: the rows of a curated one name the teacher that its corpus was written by.
    new = sorted(
        (folder for folder, state in there.items() if known.get(folder) != state),
        key=lambda folder: (not folder.startswith("synthetic_corpus/"), folder),
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
            f"{path_of(store)} could not be brought up to date: {error}; nomad-assets lineage sync --rebuild makes it anew"
        ) from error
    return loaded


def _load_batch(connection: "duckdb.DuckDBPyConnection", store: Store, batch: dict[str, Manifest], there: dict) -> None:
    """Load a batch, or when a table in it is damaged, one artifact at a time and that one without its tables."""
    import duckdb

    try:
        with _transaction(connection):
            _load(connection, store, batch, there)
    except duckdb.Error as error:
        _no_fault_of_a_table(error)
        for folder, manifest in batch.items():
            try:
                with _transaction(connection):
                    _load(connection, store, {folder: manifest}, there)
            except duckdb.Error as error:
                _no_fault_of_a_table(error)
                with _transaction(connection):
                    _load(connection, store, {folder: manifest}, there, tables=False)  # the checks say what is wrong


def _no_fault_of_a_table(error: Exception) -> None:
    """Raises the error again when memory or disk ran out: the next sync then reads the tables, and none is given up."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error):
        raise error


@contextlib.contextmanager
def _transaction(connection: "duckdb.DuckDBPyConnection") -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _batches(store: Store, folders: list[str], there: dict) -> Iterator[dict[str, Manifest]]:
    """Manifests by folder, as many at a time as bounded memory allows."""
    batch: dict[str, Manifest] = {}
    rows = 0
    for folder in folders:
        try:
            manifest = read_manifest(folder_path(store, folder, there[folder][1]))
        except FileNotFoundError:
            continue  # pruned a moment ago; the next sync finds its record
        batch[folder] = manifest
        rows += manifest.rows or 0
        if len(batch) >= BATCH_ARTIFACTS or rows >= BATCH_ROWS:
            yield batch
            batch, rows = {}, 0
    if batch:
        yield batch


def folder_path(store: Store, folder: str, pruned: bool) -> Path:
    return store.root / PRUNED / folder if pruned else store.root / folder


def _delete(connection: "duckdb.DuckDBPyConnection", artifact_ids: list[str]) -> None:
    """Forget versions that are gone, replaced or pruned since; what is still there is read again."""
    with _transaction(connection):
        for table, column in {**{name: "artifact_id" for name in (*TABLES, "synced")}, "edges": "child_id"}.items():
            if table != "withdrawals":
                connection.execute(f'DELETE FROM "{table}" WHERE {column} IN (SELECT unnest(?))', [artifact_ids])


def _load(
    connection: "duckdb.DuckDBPyConnection", store: Store, batch: dict[str, Manifest], there: dict, tables: bool = True
) -> None:
    import polars as pl

    found: dict[str, list[tuple]] = {name: [] for name in ("artifacts", "edges", "files", "metrics", "synced")}
    for folder, manifest in batch.items():
        stamp, pruned = there[folder]
        found["artifacts"].append(_artifact(folder, manifest, pruned))
        found["edges"] += [(parent, manifest.artifact_id, place) for place, parent in manifest.parents.items()]
        found["files"] += [(manifest.artifact_id, path, f["bytes"], f["sha256"]) for path, f in manifest.files.items()]
        found["metrics"] += [(manifest.artifact_id, name, *_metric(value)) for name, value in manifest.metrics.items()]
        found["synced"].append((folder, manifest.artifact_id, stamp, pruned))
    for name, rows in found.items():
        if rows:
            frame = pl.DataFrame(rows, orient="row", infer_schema_length=None)
            connection.register("incoming", frame)
            connection.execute(f'INSERT INTO "{name}" SELECT * FROM incoming')
            connection.unregister("incoming")
    if tables:
        _load_tables(connection, store, batch, there)


def _artifact(folder: str, manifest: Manifest, pruned: bool) -> tuple:
    cell = Cell.of_label(manifest.partition)
    return (
        manifest.artifact_id, manifest.asset, manifest.partition, cell.train_size, cell.arm,
        manifest.version, pruned, folder, manifest.input_digest, manifest.content_digest, manifest.code_version,
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


def _load_tables(
    connection: "duckdb.DuckDBPyConnection", store: Store, batch: dict[str, Manifest], there: dict
) -> None:
    """Rows of stored tables, read by DuckDB itself; pruned versions kept the columns that are asked for here."""
    for pruned in (False, True):
        chosen = {folder: m for folder, m in batch.items() if there[folder][1] == pruned}
        corpora = {folder: m for folder, m in chosen.items() if m.asset == "curated_corpus"}
        content = "content_md5" if pruned else CONTENT
        _insert(
            connection, "examples", store, corpora, "curated.parquet", pruned,
            "m.artifact_id, m.corpus_id, m.teacher_id, t.id, " + content + ", t.attempt, t.prompt_end, t.response_end, "
            "t.prompt_tokens, t.response_tokens, t.prompt_seed, t.response_seed, t.verdict, t.reason, t.evidence, "
            "t.evidence_similarity, t.normsim_2, t.novelty, t.nearest_seed",
        )  # fmt: skip
        scored = {folder: m for folder, m in chosen.items() if m.asset in SCORES}
        columns = ", ".join(f't."{name}"' for name in SCORE_COLUMNS)
        _insert(connection, "scores", store, scored, "scores.parquet", pruned, f"m.artifact_id, {columns}")
        pools = {folder: m for folder, m in chosen.items() if m.asset == "seed_examples"}
        columns = ", ".join(f't."{name}"' for name in SEED_COLUMNS)
        _insert(connection, "seeds", store, pools, "seeds.parquet", pruned, f"m.artifact_id, {columns}")


def _insert(
    connection: "duckdb.DuckDBPyConnection", target: str, store: Store, manifests: dict[str, Manifest], table: str,
    pruned: bool, columns: str,
) -> None:  # fmt: skip
    """Insert `columns` of one stored table of each artifact (t), beside the artifact's own facts (m)."""
    import polars as pl

    files = {str(folder_path(store, folder, pruned) / table): m for folder, m in manifests.items()}
    files = {path: m for path, m in files.items() if os.path.isfile(path)}  # a missing one is what the checks report
    if not files:
        return
    known = [(path, m.artifact_id, _parent(m, "synthetic_corpus")) for path, m in files.items()]
    schema = {"filename": pl.String, "artifact_id": pl.String, "corpus_id": pl.String}
    connection.register("incoming", pl.DataFrame(known, schema=schema, orient="row"))
    connection.execute(
        f"""INSERT INTO "{target}" SELECT {columns} FROM read_parquet(?, filename = true, union_by_name = true) t
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
    with _transaction(connection):
        connection.execute("DELETE FROM withdrawals")
        if rows:
            connection.executemany("INSERT INTO withdrawals VALUES (?, ?, ?)", rows)
