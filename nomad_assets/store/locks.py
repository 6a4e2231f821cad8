"""Locks that many readers share."""

import contextlib
import fcntl
import os
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

from nomad_assets.durable import is_at

SPARE_FILES = 512  # what the rest of a process has open


@contextlib.contextmanager
def shared_locks(paths: Sequence[Path]) -> Iterator[None]:
    """Hold a shared lock on each file. Raises FileNotFoundError naming one that has gone, also while it was opened.

    filelock has exclusive locks alone that other programs can take as well; a reader must not shut out readers.
    """
    _allow_open_files(len(paths))
    with contextlib.ExitStack() as stack:
        for path in paths:
            file = stack.enter_context(open(path, "rb"))
            fcntl.flock(file, fcntl.LOCK_SH)
            if not is_at(file.fileno(), path):
                raise FileNotFoundError(2, os.strerror(2), str(path))
        yield


@contextlib.contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Whether the file could be locked against all readers, without waiting; held until the block ends."""
    with contextlib.ExitStack() as stack:
        try:
            # Writable, since NFS gives an exclusive lock on nothing else.
            file = stack.enter_context(open(path, "r+b"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            yield False
            return
        yield True


def _allow_open_files(count: int) -> None:
    """Room for that many more, where the system's own limit allows it: the report of a large grid reads thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
