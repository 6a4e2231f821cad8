"""text-dedup's MinHash: its command line, called in this process.

    python benchmarks/contenders/text_dedup_minhash.py JOB.json RESULT.json

Timed: from reading corpus.parquet to the verdicts on disk. The seeds come first in its input, so that copies of them go: of a
cluster the first row counts as kept, which is read from the clusters that it writes with --debug, since the row it keeps
itself is any of them. Its clusters are those of LSH: no similarity is computed. It has no decontamination: the questions are
not looked at.

Word 3-grams and the job's threshold; `variant` "documented" has 128 permutations and sha1 of 64 bits, nearly its defaults
(250; 128 is this project's number), "best" the faster xxh3 of 32 bits.
"""

import json
import os
import pickle
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

import polars as pl
from text_dedup.minhash import main as minhash

HASHES = {"documented": ("sha1", 64), "best": ("xxh3", 32)}


def main(job: dict, result: Path) -> dict:
    started = time.perf_counter()
    source, work = Path(job["corpus"]), result.with_suffix(".text_dedup")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tables = [pl.read_parquet(source / f"{name}.parquet", columns=["id", "prompt"]) for name in ("seeds", "corpus")]
    pl.concat(tables).write_parquet(work / "input.parquet")
    function, bits = HASHES[job["variant"]]
    options = {
        "path": "parquet", "data_files": work / "input.parquet", "split": "train", "cache_dir": work / "cache",
        "output": work / "output", "column": "prompt", "ngram": 3, "min_length": 1, "threshold": job["threshold"],
        "num_perm": 128, "hash_func": function, "hash_bits": bits, "num_proc": job["threads"],
    }  # fmt: skip
    minhash([*(f"--{name}={value}" for name, value in options.items()), "--debug"], standalone_mode=False)
    with (work / "output" / "uf.pkl").open("rb") as file:
        clusters = pickle.load(file)
    roots = pl.Series([clusters.find(number) for number in range(tables[0].height + tables[1].height)])
    verdicts = tables[1].with_columns(dropped=~roots.is_first_distinct()[tables[0].height :])
    reason = pl.when("dropped").then(pl.lit("repeat")).otherwise(pl.lit("kept"))
    verdicts = verdicts.select("id", "dropped", reason=reason)
    path = result.with_suffix(".verdicts.parquet")
    verdicts.write_parquet(path)
    seconds = time.perf_counter() - started
    shutil.rmtree(work)
    return {
        "seconds": seconds,
        "seconds_all": since_process_start(),
        "rows": verdicts.height,
        "verdicts": str(path),
        "versions": {name: version(name) for name in ("text-dedup", "datasets", "numpy", "pyarrow", "xxhash")},
    }


def since_process_start() -> float:
    """Seconds since the kernel started this process."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    job_path, result_path = map(Path, sys.argv[1:3])
    result_path.write_text(json.dumps(main(json.loads(job_path.read_text()), result_path), indent=1))
