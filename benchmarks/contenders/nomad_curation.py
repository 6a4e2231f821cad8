"""This project's curation: nomad_assets.recipe.curation, every rule but the NormSim band.

    python benchmarks/contenders/nomad_curation.py JOB.json RESULT.json

Timed: reading the three tables, every rule, writing the verdicts. Settings: the profile's defaults, with the job's threshold
for near repeats and near copies of seeds. The band needs embeddings, which the peers do not compute, so only
`"band": false` is known.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy  # noqa: F401
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from nomad_assets.profile.sections import Curation
from nomad_assets.recipe.curation import curate


def rule_verdicts(corpus: pl.DataFrame, seeds: pl.DataFrame, questions: list, settings: Curation) -> list:
    """As curate() calls it."""
    return curate.rule_verdicts(corpus, seeds, questions, settings)


def main(job: dict, result: Path) -> dict:
    if job.get("band"):
        raise SystemExit("the band needs embeddings: only band = false")
    started = time.perf_counter()
    folder = Path(job["corpus"])
    corpus, seeds = pl.read_parquet(folder / "corpus.parquet"), pl.read_parquet(folder / "seeds.parquet")
    questions = pl.read_parquet(folder / "questions.parquet").select("id", "question", "answers").rows()
    settings = Curation(keep=corpus.height, near_repeat=job["threshold"], seed_copy=job["threshold"])
    verdicts = rule_verdicts(corpus, seeds, questions, settings)
    reasons = pl.Series("reason", [verdict.reason for verdict in verdicts])
    table = corpus.select("id", dropped=reasons != curate.KEPT, reason=reasons)
    path = result.with_suffix(".verdicts.parquet")
    table.write_parquet(path)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "seconds_all": since_process_start(),
        "rows": corpus.height,
        "verdicts": str(path),
        "versions": {name: version(name) for name in ("nomad-assets", "numpy", "polars")},
    }


def since_process_start() -> float:
    """Seconds since the kernel started this process."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    job_path, result_path = map(Path, sys.argv[1:3])
    result_path.write_text(json.dumps(main(json.loads(job_path.read_text()), result_path), indent=1))
