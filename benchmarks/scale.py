"""Curation and profile of 10 thousand, 100 thousand and 1 million rows: seconds and memory of each part, and the exponent.

python benchmarks/scale.py [ROWS ...]

What `curated_corpus` and `corpus_profile` do, in a process of its own for each size: reading, embedding, rules, NormSim
and novelty, validation, writing, the profile and its curve. The embedder is a table of word vectors (those of
all-MiniLM-L6-v2, averaged), so that the rest can be seen; the real one takes the same time for every row, which is
measured on 2,000 rows. The exponent b is fitted to seconds = a * rows^b, without the embedding: 1 is flat per row.
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import WORK
from planted import write_corpus

PARTS = ("read", "embed", "curate", "write", "profile", "curve")


def word_vectors() -> Path:
    """An embedder folder: the packaged model's word vectors alone."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from nomad_assets.recipe.curation.embedding import PACKAGED, Embedder

    folder = WORK / "models" / "word-vectors"
    if not folder.is_dir():
        whole = Embedder(PACKAGED).model
        table = whole[0].model.get_input_embeddings().weight.detach().numpy()
        SentenceTransformer(modules=[StaticEmbedding(whole.tokenizer, embedding_weights=table)]).save(str(folder))
    return folder


def once(rows: int) -> dict:
    import polars as pl
    from safetensors.numpy import save_file

    from nomad_assets.engine.tables import validate
    from nomad_assets.profile.sections import Curation
    from nomad_assets.recipe.curation import corpus_figures, curate
    from nomad_assets.recipe.curation.embedding import PACKAGED, Embedder
    from nomad_assets.steps.curation import CuratedCorpus

    folder = WORK / "planted" / str(rows)
    seconds, clock = {}, time.perf_counter()

    def done(part: str) -> None:
        nonlocal clock
        seconds[part], clock = time.perf_counter() - clock, time.perf_counter()

    corpus, seeds = pl.read_parquet(folder / "corpus.parquet"), pl.read_parquet(folder / "seeds.parquet")
    questions = pl.read_parquet(folder / "questions.parquet").select("id", "question", "answers").rows()
    done("read")
    embedder = Embedder(str(word_vectors()))
    pool = embedder.embed(seeds["prompt"].to_list())
    vectors = embedder.embed(corpus["prompt"].to_list())
    done("embed")
    curated = curate.curate(corpus, seeds, pool, pool, vectors, questions, Curation(keep=rows))
    done("curate")
    with tempfile.TemporaryDirectory(dir=WORK) as out:
        validate(curated, CuratedCorpus, "scale").write_parquet(Path(out) / "curated.parquet")
        save_file({"completed": vectors}, Path(out) / "embeddings.safetensors")
        done("write")
    corpus_figures.corpus_metrics(curated)
    done("profile")
    corpus_figures.novelty_curve(curated, vectors, 0)
    done("curve")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    real, texts = Embedder(PACKAGED), corpus["prompt"].head(2_050).to_list()
    real.embed(texts[2_000:])
    clock = time.perf_counter()
    real.embed(texts[:2_000])
    return {
        "rows": rows,
        "seconds": seconds,
        "peak_mib": peak,
        "real_embedder_rows": 2_000 / (time.perf_counter() - clock),
    }


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(once(int(sys.argv[2]))))
        return
    sizes = [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    word_vectors()
    print(f"| rows | {', s | '.join(PARTS)}, s | rows/s without embedding | peak MiB |\n|{'---|' * (len(PARTS) + 3)}")
    found = []
    for rows in sizes:
        if not (WORK / "planted" / str(rows) / "truth.parquet").is_file():
            write_corpus(WORK / "planted" / str(rows), rows, 7)
        command = [sys.executable, __file__, "--once", str(rows)]
        run = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        total = sum(value for part, value in run["seconds"].items() if part != "embed")
        found.append((math.log(rows), math.log(total)))
        cells = " | ".join(f"{run['seconds'][part]:.1f}" for part in PARTS)
        print(f"| {rows:,} | {cells} | {rows / total:,.0f} | {run['peak_mib']:,.0f} |", flush=True)
    middle = [sum(values) / len(found) for values in zip(*found, strict=True)]
    slope = sum((x - middle[0]) * (y - middle[1]) for x, y in found) / sum((x - middle[0]) ** 2 for x, _ in found)
    print(f"\nexponent {slope:.2f}; all-MiniLM-L6-v2 embeds {run['real_embedder_rows']:.0f} rows/s here")


if __name__ == "__main__":
    main()
