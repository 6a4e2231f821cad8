"""datatrove's MinHash deduplication and n-gram decontamination.

    python benchmarks/contenders/datatrove_dedup.py JOB.json RESULT.json

Timed: from reading corpus.parquet to the verdicts on disk, with everything datatrove starts and writes in between.

The pipeline is that of datatrove's examples/minhash_deduplication.py: signatures, buckets, clusters, filter, each a
LocalPipelineExecutor on as many workers as the job has threads. The seeds are the index (MinhashBuildIndex), as its
documentation has it for rows known before, so that copies of seeds are dropped too. Decontamination (NGramsDecontFilter)
runs behind the MinHash filter; one shared 8-gram drops a row, where this project wants half of the question covered.
NGramsDecontIndexer needs lighteval and always loads tasks of it from the hub, so its compute_hashes() is called here for the
questions and its file written as it writes it.

Settings that differ from datatrove's defaults, so that the rule is this project's: word 3-grams, 8-grams for the questions,
numbers stay as they are (norm_numbers=False: two word problems that differ in a number are not the same).

`variant`: "documented" has 14 buckets of 8 hashes of 64 bits (LSH threshold 0.72) and the English (spaCy) tokenizer. "best" keeps
the MinHash and changes what cost most: words split at spaces instead of by spaCy, workers forked, larger read buffers; and it
has 10 buckets (threshold 0.75). 14x8, 8x8 and 6x6 took about as long at 10,000 rows, one run each; the last two found less.
"""

import json
import os
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.decont import NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashBuildIndex, MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer


class Split(WordTokenizer):
    """Behind datatrove's own normalisation, which turns punctuation into spaces, these are this project's words."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split(" ")

    sent_tokenize = span_tokenize = None


DOCUMENTED = {"buckets": 14, "hashes": 8, "tokenizer": "eng", "lines": 5, "start": "forkserver"}
BEST = {"buckets": 10, "hashes": 8, "tokenizer": Split(), "lines": 10_000, "start": "fork"}


def main(job: dict, result: Path) -> dict:
    started = time.perf_counter()
    chosen = {**{"documented": DOCUMENTED, "best": BEST}[job["variant"]], **job.get("settings", {})}
    source, work, threads = Path(job["corpus"]), result.with_suffix(".datatrove"), job["threads"]
    shutil.rmtree(work, ignore_errors=True)
    (work / "corpus").mkdir(parents=True)
    corpus = pl.read_parquet(source / "corpus.parquet", columns=["id", "prompt"])
    part = -(-corpus.height // threads)  # a task reads whole files
    for rank in range(threads):
        corpus.slice(rank * part, part).write_parquet(work / "corpus" / f"{rank}.parquet")
    norm, hashing = TextNormConfig(norm_numbers=False), HashConfig(precision=64)
    config = MinhashConfig(3, chosen["buckets"], chosen["hashes"], norm_config=norm, hash_config=hashing)
    ngrams = NGramsDecontConfig(8, norm_config=norm, hash_config=hashing)
    tokenizer, lines = chosen["tokenizer"], chosen["lines"]

    def run(name: str, *pipeline, tasks: int = 1) -> None:
        LocalPipelineExecutor(
            list(pipeline), tasks, min(tasks, threads), str(work / "logs" / name), start_method=chosen["start"]
        ).run()

    def at(name: str) -> str:
        return str(work / name)

    def read(folder: Path, pattern: str = "*.parquet") -> ParquetReader:
        return ParquetReader(str(folder), text_key="prompt", glob_pattern=pattern, read_metadata=False)

    run("seeds", read(source, "seeds.parquet"), MinhashDedupSignature(at("seeds"), config, tokenizer))
    for bucket in range(chosen["buckets"]):  # in this process: a thousand rows are not worth a pool
        MinhashBuildIndex(at("seeds"), at("index"), "seeds", config, lines).run(None, bucket, chosen["buckets"])
    run("signatures", read(work / "corpus"), MinhashDedupSignature(at("sigs"), config, tokenizer), tasks=threads)
    buckets = MinhashDedupBuckets(
        at("sigs"), at("buckets"), at("index"), config, only_dedup_in_index=False, lines_to_buffer=lines
    )
    run("buckets", buckets, tasks=chosen["buckets"])
    run("clusters", MinhashDedupCluster(at("buckets"), at("remove"), config, lines_to_buffer=lines))
    contaminated = NGramsDecontFilter(at("questions"), ngrams, ParquetWriter(at("contaminated")), tokenizer)
    hashes = set()
    for (question,) in pl.read_parquet(source / "questions.parquet", columns=["question"]).iter_rows():
        hashes.update(NGramsDecontIndexer.compute_hashes(contaminated, question))
    (work / "questions").mkdir(exist_ok=True)
    np.array(list(hashes), dtype=hashing.np_descr).tofile(work / "questions" / "questions.index.hashes")
    repeats = MinhashDedupFilter(at("remove"), ParquetWriter(at("repeats")), lines_to_buffer=lines)
    run("filter", read(work / "corpus"), repeats, contaminated, tasks=threads)

    def dropped(reason: str) -> pl.Expr:
        files = list((work / reason).glob("*.parquet"))
        ids = pl.concat([pl.read_parquet(file, columns=["id"]) for file in files])["id"] if files else []
        return pl.when(pl.col("id").is_in(pl.Series(ids, dtype=pl.String).implode())).then(pl.lit(reason))

    reason = pl.coalesce(dropped("repeats"), dropped("contaminated"), pl.lit("kept"))
    path = result.with_suffix(".verdicts.parquet")
    corpus.select("id", reason.alias("reason")).with_columns(dropped=pl.col("reason") != "kept").write_parquet(path)
    seconds = time.perf_counter() - started
    shutil.rmtree(work)
    return {
        "seconds": seconds,
        "seconds_all": since_process_start(),
        "rows": corpus.height,
        "verdicts": str(path),
        "versions": {name: version(name) for name in ("datatrove", "spacy", "xxhash", "numpy", "pyarrow")},
    }


def since_process_start() -> float:
    """Seconds since the kernel started this process."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    job_path, result_path = map(Path, sys.argv[1:3])
    result_path.write_text(json.dumps(main(json.loads(job_path.read_text()), result_path), indent=1))
