"""Names of files and folders in a local store."""

import re

MANIFEST = "manifest.json"
SCRATCH = "scratch"  # inside a stage: checkpoints and shards, never published
STAGING, PRUNED, WITHDRAWN, AGREED, HANDED = ".staging", ".pruned", ".withdrawn", ".agreed", ".handed"
TRASH = "trash"  # below .staging, on the same file system
LOCK = "lock"
DATABASE, DATABASE_LOCK = "lineage.duckdb", ".lineage.lock"
PART = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?"
)  # of a path inside the store; a control or selection stands behind an @
