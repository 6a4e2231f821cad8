"""Scoring a model on benchmarks with lm-evaluation-harness, question by question."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.plugins import Plugin
from nomad_assets.profile.sections import Sampling, Scoring
from nomad_assets.recipe.evaluation.benchmarks import LOG_PROBABILITY, local_task, scorer_of
from nomad_assets.recipe.evaluation.statistics import mean_interval
from nomad_assets.recipe.generation.engine import Request
from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.training.trainer import response_log_probabilities

if TYPE_CHECKING:
    import polars as pl


FEWSHOT_SEED = 1234  # lm-evaluation-harness' own default, so that hub tasks show the same examples as its command line


@dataclass(frozen=True)
class Evaluation:
    """Tables of the schemas QuestionResults (one row per question and metric), Responses and Scores."""

    results: "pl.DataFrame"
    responses: "pl.DataFrame"
    scores: "pl.DataFrame"
    generated_tokens: int
    precision: str


def evaluate(
    folder: Path,
    benchmarks: dict[str, Scoring],
    questions: "pl.DataFrame",
    *,
    batch_size: int,
    resamples: int,
    seed: int,
    precision: str = "auto",
    progress: Progress = silent,
    plugins: Mapping[str, Plugin] | None = None,
) -> Evaluation:
    """Score the model in `folder`; the model is loaded once for all benchmarks.

    `questions` holds the local ones (BenchmarkQuestions). `plugins` are the scorers that are none of the built-in ones, by
    benchmark. Raises NomadError when a hub task cannot be loaded or a plug-in fails.
    """
    import polars as pl

    from nomad_assets.recipe.models.loading import load_tokenizer

    turns = Turns(load_tokenizer(folder), str(folder))
    engine = TransformersEngine.load(folder, batch_size=batch_size, pad_id=turns.pad, precision=precision)
    total = questions.height
    lm = _harness_model(engine, turns, lambda done: progress("evaluation", done, max(total, done), {}))
    tasks = _task_manager(benchmarks)
    tables: list[tuple[list[dict], list[dict]]] = []
    for name, benchmark in benchmarks.items():
        local = questions.filter(pl.col("benchmark") == name)
        task = benchmark.task
        if task is None:
            scorer = scorer_of(benchmark.rule, (plugins or {}).get(name))
            task = local_task(name, scorer, local, benchmark.max_new_tokens)
        tables.append(_run_task(lm, tasks, name, task))
        if benchmark.task is None:
            tables.append((_log_probabilities(engine.model, turns, name, local), []))
    results = pl.DataFrame([r for table in tables for r in table[0]], schema=RESULTS)
    responses = pl.DataFrame([r for table in tables for r in table[1]], schema=RESPONSES)
    generated, used = lm.generated_tokens, engine.precision
    engine.close()
    return Evaluation(results, responses, summarise(results, resamples, seed), generated, used)


RESULTS = {"benchmark": str, "question_id": str, "metric": str, "value": float}
RESPONSES = {"benchmark": str, "question_id": str, "question": str, "response": str, "reference": str}


def summarise(results: "pl.DataFrame", resamples: int, seed: int) -> "pl.DataFrame":
    """Mean and 95% bootstrap interval over questions, per benchmark and metric (the Scores schema)."""
    import polars as pl

    rows = []
    for (benchmark, metric), group in results.group_by("benchmark", "metric", maintain_order=True):
        interval = mean_interval(group["value"].to_numpy(), resamples=resamples, seed=seed)
        rows.append(
            {
                "benchmark": benchmark,
                "metric": metric,
                "n": interval.n,
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return pl.DataFrame(
        rows, schema={"benchmark": str, "metric": str, "n": int, "mean": float, "low": float, "high": float}
    )


def _harness_model(engine: TransformersEngine, turns: Turns, on_progress: Callable[[int], None]):
    """lm-evaluation-harness' own transformers model, with our decoding loop in place of `generate`.

    The tasks, the requests, stop handling and log-likelihoods stay the harness'; greedy decoding gives the same tokens.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.models.huggingface import HFLM

    class HarnessModel(HFLM):
        generated_tokens = 0
        questions_done = 0

        def generate_until(self, requests, disable_tqdm=True):
            return super().generate_until(requests, disable_tqdm=True)  # the step reports its own progress

        def tok_encode(self, string, *args, **kwargs):
            ids = self.encoded.get(string)
            return ids if ids is not None else super().tok_encode(string, *args, **kwargs)

        def apply_chat_template(self, chat_history, add_generation_prompt=True):
            ids = None
            if [message["role"] for message in chat_history] == ["user"] and add_generation_prompt:
                ids = turns.response_context(turns.encode(chat_history[0]["content"].strip()))
            elif add_generation_prompt:
                ids = turns.chat(chat_history)  # examples before the question
            if ids is None:
                return super().apply_chat_template(chat_history, add_generation_prompt)
            text = turns.decode(ids)
            self.encoded[text] = ids
            return text

        def tok_batch_encode(self, strings, *args, left_truncate_len=None, **kwargs):
            known = [self.encoded.get(string) for string in strings]
            if any(ids is None for ids in known):
                return super().tok_batch_encode(strings, *args, left_truncate_len=left_truncate_len, **kwargs)
            import torch

            known = [ids[-left_truncate_len:] if left_truncate_len else ids for ids in known]
            longest = max(len(ids) for ids in known)
            ids = torch.tensor([[turns.pad] * (longest - len(i)) + i for i in known])
            mask = torch.tensor([[0] * (longest - len(i)) + [1] * len(i) for i in known])
            return ids, mask

        def _model_generate(self, context, max_length, stop, attention_mask=None, **generation_kwargs):
            if generation_kwargs.get("do_sample") or generation_kwargs.get("temperature"):
                return super()._model_generate(
                    context, max_length, stop, attention_mask=attention_mask, **generation_kwargs
                )
            import torch

            rows = [ids[mask.bool()].tolist() for ids, mask in zip(context, attention_mask, strict=True)]
            sampling = Sampling(temperature=0.0, max_new_tokens=max_length - context.shape[1])
            stops = {turns.response_end, self.eot_token_id}
            made = engine.generate([Request(ids, 0) for ids in rows], sampling, stops)
            self.generated_tokens += sum(len(g.ids) + g.stopped for g in made)
            self.questions_done += len(made)
            on_progress(self.questions_done)
            longest = max(len(g.ids) for g in made)
            padded = [g.ids + [self.eot_token_id] * (longest - len(g.ids)) for g in made]
            return torch.cat([context.cpu(), torch.tensor(padded, dtype=context.dtype).reshape(len(made), longest)], 1)

    lm = HarnessModel(
        pretrained=engine.model,
        tokenizer=turns.tokenizer,
        batch_size=engine.batch_size,
        device=str(engine.model.device),
    )
    lm.encoded = {}
    return lm


def _task_manager(benchmarks: dict[str, Scoring]):
    """The harness' task index; its 13,000 task files are read only when a profile names one of them."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=any(benchmark.task for benchmark in benchmarks.values()))


def _run_task(lm, tasks, name: str, task: str | dict) -> tuple[list[dict], list[dict]]:
    """Per-question metric values and responses of one task."""
    from lm_eval.evaluator import evaluate as run

    try:
        loaded = tasks.load([task])
        for one in loaded["tasks"].values():
            if one.get_config("num_fewshot") is None:
                one.set_config(key="num_fewshot", value=0)
            one.set_fewshot_seed(seed=FEWSHOT_SEED)
        outcome = run(lm=lm, task_dict=loaded, apply_chat_template=True, fewshot_as_multiturn=True, bootstrap_iters=0)
    except (OSError, KeyError, ValueError) as error:
        raise NomadError(
            f"benchmarks.{name}: lm-evaluation-harness could not run {task if isinstance(task, str) else name!r}: {error}"
        ) from error
    results, responses = [], []
    for samples in outcome["samples"].values():
        for sample in samples:
            doc = sample["doc"]
            question = str(doc.get("id", sample["doc_id"]))
            strict = "" if len(samples) == len({s["doc_id"] for s in samples}) else f"_{sample['filter']}"
            for metric in sample["metrics"]:
                value = sample[metric]
                if isinstance(value, (int, float)):
                    results.append(
                        {
                            "benchmark": name,
                            "question_id": question,
                            "metric": f"{metric}{strict}",
                            "value": float(value),
                        }
                    )
            if sample["filter"] == samples[0]["filter"]:
                responses.append(
                    {
                        "benchmark": name, "question_id": question, "question": str(doc.get("question", sample["arguments"])),
                        "response": str(sample["resps"][0][0]), "reference": str(sample["target"]),
                    }
                )  # fmt: skip
    return results, responses


def _log_probabilities(model, turns: Turns, name: str, questions: "pl.DataFrame") -> list[dict]:
    """Mean log-probability per token (nats) of each question's reference answer with its end-of-turn token."""
    rows = [
        turns.row(qid, question, reference, 0.0)
        for qid, question, reference in questions.select("id", "question", "reference").iter_rows()
    ]
    values = response_log_probabilities(model, rows)
    return [
        {"benchmark": name, "question_id": row.id, "metric": LOG_PROBABILITY, "value": value}
        for row, value in zip(rows, values, strict=True)
    ]
