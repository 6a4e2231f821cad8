"""The lineage database of a store: opened, brought up to date, built anew.

Manifests are the record; the database is a way to ask. Deleting it loses nothing.

DuckDB locks a file per process, and a writer excludes readers. No step waits for it: `sync_if_free` gives up at once,
and every reader brings the file up to date first.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.lineage.load import load_new, transaction
from nomad_assets.lineage.tables import VERSION, statements
from nomad_assets.store.protocol import Store

if TYPE_CHECKING:
    import duckdb

WAIT_SECONDS = 10.0
MEMORY_LIMIT = "1GB"


class InUseError(NomadError):
    """Another process has the file."""


def sync(store: Store, wait: float = WAIT_SECONDS) -> int:
    """Bring the file up to date; the number of artifacts read. Waits up to `wait` seconds for another process.

    A file of another version of this schema, or one that cannot be read, is built anew.
    Raises NomadError when the file stays locked.
    """
    with _open(store, wait) as connection:
        return load_new(connection, store)


def sync_if_free(store: Store) -> None:
    """Bring the file up to date unless another process has it, or it cannot be written: a step never fails by this."""
    import duckdb

    with contextlib.suppress(NomadError, duckdb.Error, OSError):
        sync(store, wait=0)


def rebuild(store: Store, wait: float = WAIT_SECONDS) -> int:
    """Build the file from nothing, beside the old one, and put it in its place; the number of artifacts read."""
    import duckdb

    file = store.database
    fresh = file.with_name(f"{file.name}.rebuilt")
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.database_lock())  # one rebuild at a time
        _remove(fresh)
        with contextlib.suppress(duckdb.Error):  # held so that nobody writes into the old one meanwhile
            if file.is_file():
                stack.enter_context(contextlib.closing(_connect(file, wait, read_only=False)))
        count = _build(fresh, store)
        os.replace(fresh, file)
    return count


def _remove(file: Path) -> None:
    """Remove a database, and the log that DuckDB keeps beside it."""
    for part in (file, file.with_name(f"{file.name}.wal")):
        part.unlink(missing_ok=True)


def _build(file: Path, store: Store) -> int:
    """Everything into a new file; the number of artifacts read."""
    with contextlib.closing(_connect(file, wait=0, read_only=False)) as connection:
        _create(connection)
        return load_new(connection, store)


@contextlib.contextmanager
def reading(store: Store, wait: float = WAIT_SECONDS) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A read-only connection to the file, brought up to date first. Raises NomadError when there is no store.

    If the store is read-only, or another process keeps the file open, a temporary one is built from the store: never an old
    answer.
    """
    if not store.exists():
        raise no_store(store)
    with contextlib.ExitStack() as stack:
        connection = _shared(store, wait)
        if connection is None:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / store.database.name
            _build(file, store)
            connection = _connect(file, wait=0, read_only=True)
        yield stack.enter_context(contextlib.closing(connection))


def _shared(store: Store, wait: float) -> "duckdb.DuckDBPyConnection | None":
    """The store's own file, brought up to date; None where that cannot be had."""
    if not store.can_write():
        return None
    try:
        sync(store, wait)
        return _connect(store.database, wait, read_only=True)
    except InUseError:
        return None


def no_store(store: Store) -> NomadError:
    return NomadError(f"{store.name}: there is no store here yet; run nomad-assets run first")


@contextlib.contextmanager
def _open(store: Store, wait: float) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A connection that may write, to a file that has our tables."""
    import duckdb

    store.database.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _connect(store.database, wait, read_only=False)
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'about'").fetchall():
            _create(connection)
        current = connection.execute("SELECT version FROM about").fetchall() == [(VERSION,)]
    except duckdb.Error:
        current, connection = False, None
    if not current:
        if connection is not None:
            connection.close()
        _remove(store.database)
        rebuild(store, wait)
        connection = _connect(store.database, wait, read_only=False)
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
    with transaction(connection):
        for statement in statements():
            connection.execute(statement)
