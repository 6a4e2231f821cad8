"""Training and scoring the models of a design, one after the other. A model that is done is never trained again."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.plugins import Plugin
from nomad_assets.profile.headroom_settings import HeadroomDesign
from nomad_assets.profile.sections import Scoring, Training
from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY, is_share, primary, scorer_of
from nomad_assets.recipe.evaluation.evaluate import evaluate
from nomad_assets.recipe.headroom.design import Example, Model, examples_of
from nomad_assets.recipe.headroom.votes import sample_answers, vote
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns, training_rows
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.recipe.training.launch import train_folder

if TYPE_CHECKING:
    import polars as pl

ROWS, WRONG, VOTES = "rows", "wrong", "votes"
"""The three curves: over gold rows, over the share of wrong ones, over sampled answers."""
RIGHT = "right"
COLUMNS = {
    "curve": str, "point": float, "replicate": int, "benchmark": str, "question_id": str, "cluster": str, "metric": str,
    "value": float,
}  # fmt: skip
TRAINED, SCORED = 0.7, 0.85  # shares of a model's work, for the progress bar


@dataclass(frozen=True)
class Measurement:
    """What all models of a design share."""

    base: Path
    pool: "pl.DataFrame"
    """id, prompt, response, source, position: the seed pool in its own order."""
    questions: "pl.DataFrame"
    """id, benchmark, question, answers, reference, cluster: those that are asked."""
    benchmarks: dict[str, Scoring]
    """Those that the questions are of."""
    scorers: Mapping[str, Plugin]
    """The rules that are none of the built-in ones, by benchmark."""
    settings: HeadroomDesign
    training: Training
    """With the steps and the precision of every model."""
    batch_size: int
    """Questions decoded at once."""
    precision: str
    """Of weights and products while answering."""
    dtype: str
    orders: list[int]
    """Seed of the pool's order by replicate; 0 is its own."""
    seed: int

    def check_rows(self, models: list[Model]) -> None:
        """Raises NomadError when the rows of a model cannot be made: better known now than after hours of training."""
        for model in models:
            self._examples(model)

    def of(self, model: Model, scratch: Path, progress: Progress = silent) -> "pl.DataFrame":
        """The rows of one model (COLUMNS), kept in `scratch` so that a run that was killed goes on with the next one."""
        import polars as pl

        done = scratch / f"{model.name}.parquet"
        if done.is_file():
            return pl.read_parquet(done)
        work = scratch / model.name
        found = self._measured(model, work, progress)
        partial = done.with_suffix(".partial")
        found.write_parquet(partial)
        partial.rename(done)
        shutil.rmtree(work, ignore_errors=True)
        return found

    def _measured(self, model: Model, work: Path, progress: Progress) -> "pl.DataFrame":
        import polars as pl

        folder = self._trained(model, work, progress) if model.rows else self.base
        parts = [self._scores(model, folder, progress)]
        if model.rows == self._largest and not model.wrong:
            parts.append(self._votes(model, folder, progress))
        return pl.concat(parts)

    @property
    def _largest(self) -> int:
        return self.settings.sizes[-1] if self.settings.sizes else self.pool.height

    def _trained(self, model: Model, work: Path, progress: Progress) -> Path:
        """The folder of a model, trained on from its last checkpoint."""
        out = work / "model"
        if (out / "config.json").is_file():
            return out
        work.mkdir(parents=True, exist_ok=True)
        turns = Turns(load_tokenizer(self.base), str(self.base))
        rows, _ = training_rows(turns, self._examples(model), 0.0, self.training.max_length)
        train_folder(
            self.base, rows, self.training, seed=derive_seed(self.seed, "training", model.replicate), scratch=work, out=out,
            dtype=self.dtype, progress=lambda _, done, total, facts: progress("training", TRAINED * done / total, 1, facts),
        )  # fmt: skip
        return out

    def _examples(self, model: Model) -> list[Example]:
        wrong_seed = derive_seed(self.seed, "wrong", model.replicate)
        return examples_of(self.pool, model, self.orders[model.replicate], wrong_seed)

    def _scores(self, model: Model, folder: Path, progress: Progress) -> "pl.DataFrame":
        """Right or wrong, and the log-probability of the answer, as every model of the project is scored."""
        import polars as pl

        found = evaluate(
            folder, self.benchmarks, self.questions, batch_size=self.batch_size, seed=self.seed,
            resamples=2,  # its intervals are not read
            precision=self.precision, plugins=self.scorers,
            progress=lambda _, done, total, facts: progress("scoring", TRAINED + (SCORED - TRAINED) * done / total, 1, facts),
        ).results  # fmt: skip
        main = {name: metric for name in self.benchmarks if (metric := self._main_metric(name)) is not None}
        metrics = pl.DataFrame(
            [*((name, metric, RIGHT) for name, metric in main.items()), *((n, LOG_PROBABILITY, LOG_PROBABILITY) for n in self.benchmarks)],
            schema={"benchmark": str, "metric": str, "name": str}, orient="row",
        )  # fmt: skip
        named = found.join(metrics, on=["benchmark", "metric"]).drop("metric").rename({"name": "metric"})
        curve, point = (WRONG, model.wrong) if model.wrong else (ROWS, float(model.rows))
        return self._labelled(named, curve, point, model.replicate)

    def _votes(self, model: Model, folder: Path, progress: Progress) -> "pl.DataFrame":
        """Sampled answers to every question that is right or wrong, put to the vote."""
        import polars as pl

        main = {name: metric for name in self.benchmarks if (metric := self._main_metric(name)) is not None}
        asked = self.questions.filter(pl.col("benchmark").is_in(list(main)))
        count = self.settings.answers
        answers = sample_answers(
            folder, asked, {name: self.benchmarks[name].max_new_tokens for name in main}, answers=count,
            temperature=self.settings.temperature, batch_size=self.batch_size, precision=self.precision,
            seed=derive_seed(self.seed, "votes", model.replicate),
            on_progress=lambda done: progress("sampling", SCORED + (1 - SCORED) * done / (asked.height * count), 1, {}),
        )  # fmt: skip
        scorers = {name: self._scorer(name) for name in main}
        rows = []
        for (row_id, name, accepted), texts in zip(
            asked.select("id", "benchmark", "answers").iter_rows(), answers, strict=True
        ):
            right = [scorers[name].score_question(row_id, text, accepted)[main[name]] for text in texts]
            rows += [(name, row_id, metric, value) for metric, value in vote(texts, right).items()]
        schema = {"benchmark": str, "question_id": str, "metric": str, "value": float}
        return self._labelled(pl.DataFrame(rows, schema=schema, orient="row"), VOTES, float(count), model.replicate)

    def _scorer(self, name: str):
        return scorer_of(self.benchmarks[name].rule, self.scorers.get(name))

    def _main_metric(self, name: str) -> str | None:
        """The metric that a benchmark is compared by; None where it is no share, which has no right or wrong."""
        import polars as pl

        metric = primary(self._scorer(name).metrics(self.questions.filter(benchmark=name)))
        return metric if pl.select(is_share(pl.lit(metric))).item() else None

    def _labelled(self, values: "pl.DataFrame", curve: str, point: float, replicate: int) -> "pl.DataFrame":
        import polars as pl

        clusters = self.questions.select(pl.col("id").alias("question_id"), "cluster")
        labels = [
            pl.lit(curve).alias("curve"),
            pl.lit(point).alias("point"),
            pl.lit(replicate, pl.Int64).alias("replicate"),
        ]
        return (
            values.join(clusters, on="question_id", how="left", maintain_order="left")
            .with_columns(labels)
            .select(list(COLUMNS))
        )
