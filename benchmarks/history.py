"""A simulated history of a store: the manifests and tables that lineage reads, as many as one likes, without models.

    python benchmarks/history.py STORE --sizes 20 --arms 10 --generations 8 --rows 6250

writes 20 x 10 cells in 8 versions, 10,000 artifacts with 10 million judged rows. Every generation is made from the one
before's inputs, shuffled, as after a change of the seeds.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from nomad_assets.cells import Cell
from nomad_assets.recipe.curation.curate import reason_names
from nomad_assets.steps.curation import CuratedCorpus, curated_corpus
from nomad_assets.steps.models import TrainingRows, teacher_model
from nomad_assets.steps.scores import Scores, base_scores
from nomad_assets.steps.seeds import SeedExamples, SeedSubset, seed_examples, seed_subset
from nomad_assets.store.digests import digest
from nomad_assets.store.local import LocalStore
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

POOL, SUBSET = seed_examples.file_of(SeedExamples), seed_subset.file_of(SeedSubset)
CURATED, SCORES = curated_corpus.file_of(CuratedCorpus), base_scores.file_of(Scores)
TRAINED = teacher_model.file_of(TrainingRows)
BASE_SETTINGS = {"base_model": {"source": "smollm2-135m"}, "tokenizer_corpus": [], "withdrawn": {}}


class History:
    """Publishes one generation after another."""

    def __init__(self, store: Store, sizes: list[int], arms: list[str], rows: int, seeds: int):
        self.store, self.sizes, self.arms, self.rows = store, sizes, arms, rows
        self.random = np.random.default_rng(0)
        self.seed_ids = [digest(["seed", number])[:16] for number in range(seeds)]
        self.made = 0

    def generation(self) -> None:
        self.order = self.random.permutation(len(self.seed_ids))
        ids = [self.seed_ids[place] for place in self.order]
        pool = pl.DataFrame(
            {
                "id": ids, "position": range(len(ids)), "prompt": [f"What is {i}?" for i in ids], "response": ids,
                "source": "seed/simulated.jsonl", "source_row": (self.order + 1).tolist(), "source_id": None,
            },
            schema_overrides={"source_id": pl.String},
        )  # fmt: skip
        self.pool = self.publish("seed_examples", Cell(), {}, {POOL: pool})
        self.questions = self.publish("benchmark_questions", Cell(), {}, {})
        self.base = self.publish("base_model", Cell(), {}, {}, settings=BASE_SETTINGS)
        self.publish("base_scores", Cell(), {"base_model/-": self.base}, self.score_tables())
        for size in self.sizes:
            self.size(size, pool)

    def size(self, size: int, pool: pl.DataFrame) -> None:
        head = pool.head(size).select("id", "position", "prompt", "response", "source")
        subset = self.publish("seed_subset", Cell(size), {"seed_examples/-": self.pool}, {SUBSET: head})
        gold = head["id"].to_list()
        parents = {"seed_examples/-": self.pool, "base_model/-": self.base}
        control = self.publish("control_model", Cell(size), parents, {TRAINED: trained_on(gold)})
        scored = {f"control_model/{size}": control, "benchmark_questions/-": self.questions}
        self.publish("control_scores", Cell(size), scored, self.score_tables())
        for arm in self.arms:
            self.cell(Cell(size, arm), subset, gold)

    def cell(self, cell: Cell, subset: Artifact, seeds: list[str]) -> None:
        label = cell.label
        seen = {f"seed_subset/{cell.train_size}": subset, "base_model/-": self.base}
        teacher = self.publish("teacher_model", cell, seen, {TRAINED: trained_on(seeds)}, tokens=100_000)
        corpus = self.publish("synthetic_corpus", cell, {f"teacher_model/{label}": teacher}, {}, tokens=60 * self.rows)
        read = {
            f"synthetic_corpus/{label}": corpus, f"seed_subset/{cell.train_size}": subset, "seed_examples/-": self.pool,
            "benchmark_questions/-": self.questions,
        }  # fmt: skip
        judged = self.curated(label, seeds)
        curated = self.publish("curated_corpus", cell, read, {CURATED: judged})
        self.publish("corpus_profile", cell, {f"curated_corpus/{label}": curated}, {})
        read = {f"curated_corpus/{label}": curated, "seed_examples/-": self.pool, "base_model/-": self.base}
        rows = trained_on([*seeds, *judged.filter(verdict="kept")["id"]])
        student = self.publish("student_model", cell, read, {TRAINED: rows})
        scored = {f"student_model/{label}": student, "benchmark_questions/-": self.questions}
        self.publish("student_scores", cell, scored, self.score_tables())

    def curated(self, label: str, seeds: list[str]) -> pl.DataFrame:
        """`rows` judged rows; every third is kept, the others are spread over the reasons."""
        count, numbers = self.rows, np.arange(self.rows)
        kept = numbers % 3 == 0
        known = reason_names()
        reasons = np.array(known)[numbers % len(known)]
        words = self.random.integers(0, 10_000, (count, 2))
        return pl.DataFrame(
            {
                "id": [f"{label}/{n:06d}-0" for n in numbers], "attempt": numbers, "response_index": np.zeros(count, int),
                "prompt_end": "completed", "response_end": "completed",
                "prompt": [f"How many of the {a} apples that Tom bought for {b} dollars are left?" for a, b in words],
                "response": [f"{a} - {b} = {a - b}\n#### {a - b}" for a, b in words],
                "prompt_tokens": np.full(count, 40), "response_tokens": np.full(count, 20),
                "prompt_seed": self.random.integers(0, 2**31, count), "response_seed": self.random.integers(0, 2**31, count),
                "verdict": np.where(kept, "kept", "dropped"), "reason": np.where(kept, "kept", reasons),
                "evidence": None, "evidence_similarity": None, "normsim_2": self.random.random(count),
                "novelty": self.random.random(count), "nearest_seed": np.array(seeds)[numbers % len(seeds)],
            },
            schema_overrides={"evidence": pl.String, "evidence_similarity": pl.Float64},
        )  # fmt: skip

    def score_tables(self) -> dict[str, pl.DataFrame]:
        means = self.random.random(2)
        rows = {
            "benchmark": ["trivia", "problems"],
            "metric": "exact_match",
            "n": 100,
            "mean": means,
            "low": means,
            "high": means,
        }
        return {SCORES: pl.DataFrame(rows)}

    def publish(
        self,
        asset: str,
        cell: Cell,
        parents: dict,
        tables: dict,
        settings: dict | None = None,
        tokens: int | None = None,
    ) -> Artifact:
        """Publish a version with some of the tables of its asset, as if it had been made from `parents`."""
        self.made += 1
        made_from = digest([asset, cell.label, self.made])
        rows = max((table.height for table in tables.values()), default=None)
        with self.store.staging(asset, cell, made_from) as stage:
            for name, table in tables.items():
                table.write_parquet(stage.folder / name)
            return self.store.publish(
                stage, asset, cell,
                fingerprint=made_from, settings=settings or {}, code_version="1", run_id="simulated",
                reads={place: parent.manifest.content_digest for place, parent in parents.items()},
                parents={place: parent.manifest.artifact_id for place, parent in parents.items()},
                started=1.7e9 + self.made, ended=1.7e9 + self.made + 1, seconds=1.0, rows=rows, tokens=tokens, seed=0,
            )  # fmt: skip


def trained_on(ids: list[str]) -> pl.DataFrame:
    """The TrainingRows of a model."""
    return pl.DataFrame({"id": ids, "tokens": 60, "supervised_tokens": 20, "used": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    for name, value in (("sizes", 20), ("arms", 10), ("generations", 8), ("rows", 6250)):
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    os.fsync = lambda _: None  # a simulation may be lost in a power cut
    sizes = [16 * (number + 1) for number in range(chosen.sizes)]
    arms = [f"arm-{number:02d}" for number in range(chosen.arms)]
    history = History(LocalStore(chosen.store.resolve()), sizes, arms, chosen.rows, seeds=5000)
    for number in range(chosen.generations):
        history.generation()
        print(f"generation {number + 1}: {history.made} artifacts", flush=True)


if __name__ == "__main__":
    main()
