"""The recipe on plain data frames, without a profile, a grid or a store.

    loss("teacher/", rows, prompt_loss_weight=1.0)
    corpus = synthesize("teacher/", target=100)
    curate(corpus, seeds, keep=50).filter(verdict="kept")

Rows are data frames (polars, pandas, or anything that speaks Arrow) or lists of dictionaries with the columns prompt and
response. A model is a folder with safetensors weights, a tokenizer and a chat template.
"""

import tempfile
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from pydantic import ValidationError

from nomad_assets.errors import NomadError, shown
from nomad_assets.profile.fields import Section
from nomad_assets.profile.sections import Curation, Synthesis
from nomad_assets.recipe.curation import curate as rules
from nomad_assets.recipe.curation.embedding import Embedder
from nomad_assets.recipe.data.sources import Row
from nomad_assets.recipe.generation.engine import Engine, choose_engine, open_engine
from nomad_assets.recipe.generation.synthesis import COLUMNS, completed, final_answer
from nomad_assets.recipe.generation.synthesis import synthesize as attempt
from nomad_assets.recipe.models.loading import load_model, load_tokenizer, quiet
from nomad_assets.recipe.models.turns import TrainingRow, Turns
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.training.packing import attend_within_rows, pack
from nomad_assets.recipe.training.trainer import token_batches, token_losses

Chosen = TypeVar("Chosen", bound=Section)

TEXTS = ("prompt", "response")
LOSSES = {"id": str, "prompt_tokens": int, "response_tokens": int, "prompt_loss": float, "response_loss": float}
TOKENS_PER_PASS = 2048
PROMPT_MARK = 0.5  # a weight that tells a prompt's tokens from a response's, 1
ATTEMPTS_PER_ROW = 10
ONE_ANSWER = {
    "response_index": 0, "prompt_end": "completed", "response_end": "completed", "agreement": 1.0, "majority_answer": True,
    "prompt_tokens": 0, "response_tokens": 0, "prompt_seed": 0, "response_seed": 0,
}  # fmt: skip


def loss(model: str | Path, rows: Any, prompt_loss_weight: float = 1.0) -> float:
    """The training loss of rows, in nats per unit of weight: (w * sum over P + sum over R) / (w * |P| + |R|).

    P are the tokens of the prompts and R those of the responses, each with the end-of-turn token that closes it. A weight
    w of 0 masks the prompt, 1 is NOMAD's teacher. Raises NomadError as `row_losses` does.
    """
    if not 0 <= prompt_loss_weight <= 1:
        raise NomadError(f"prompt_loss_weight = {prompt_loss_weight}: give a share from 0 to 1")
    table = row_losses(model, rows)
    weights = {"prompt": prompt_loss_weight, "response": 1.0}
    whole = sum(w * (table[f"{turn}_loss"] * table[f"{turn}_tokens"]).sum() for turn, w in weights.items())
    return whole / sum(w * table[f"{turn}_tokens"].sum() for turn, w in weights.items())


def row_losses(model: str | Path, rows: Any) -> pl.DataFrame:
    """What each row costs a model. Columns: id, prompt_tokens, response_tokens, and in nats per token prompt_loss and
    response_loss; in the order of the rows.

    Computed in fp32, on the GPU where there is one. Raises NomadError when a column is missing or a model cannot be loaded.
    """
    import torch

    from nomad_assets.recipe.models.device import device

    quiet()
    table, turns = _rows(rows, "rows"), Turns(load_tokenizer(model), str(model))
    weighted = [
        turns.row(row["id"], row["prompt"], row["response"], PROMPT_MARK) for row in table.iter_rows(named=True)
    ]
    network = load_model(model, torch.float32).to(device()).eval()
    together, found = attend_within_rows(network), []
    with torch.inference_mode():
        for batch in token_batches(weighted, TOKENS_PER_PASS):
            packed = {key: _moved(value, device()) for key, value in pack(batch, together).items()}
            parts = token_losses(network, packed).split([row.supervised for row in batch])
            found += [(row.id, *_of_turns(row, part)) for row, part in zip(batch, parts, strict=True)]
    return pl.DataFrame(found, schema=LOSSES, orient="row")


def _of_turns(row: TrainingRow, losses) -> tuple[int, int, float, float]:
    """(tokens of the prompt, of the response, mean loss of each)."""
    count = row.loss_weights.count(PROMPT_MARK)
    prompt, response = losses[:count], losses[count:]
    return len(prompt), len(response), prompt.mean().item(), response.mean().item()


def _moved(value, where):
    return value.to(where) if hasattr(value, "to") else value


def synthesize(
    model: str | Path,
    target: int,
    *,
    answerer: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **settings: Any,
) -> pl.DataFrame:
    """Prompts that a teacher writes from the bare user turn, answered by itself or by the model `answerer`.

    Goes on until `target` rows are completed or max_attempts (default: 10 per row) are spent; every attempt is a row.
    `settings` are those of a profile's section [synthesis], such as max_attempts, responses_per_prompt or
    prompt={"temperature": 0.8}. Columns: nomad_assets.steps.synthesis.SyntheticCorpus.
    Raises NomadError on a setting that is not accepted and on a model that cannot be loaded.
    """
    quiet()
    chosen = _settings(Synthesis, {"max_attempts": ATTEMPTS_PER_ROW * target, **settings, "target": target})
    tokens = target * (chosen.prompt.max_new_tokens + chosen.response.max_new_tokens)
    name = choose_engine(chosen.engine, tokens)
    opened: list[Engine] = []

    def open_model(folder: str | Path) -> tuple[Engine, Turns]:
        turns = Turns(load_tokenizer(folder), str(folder))
        longest = chosen.prompt.max_new_tokens + chosen.response.max_new_tokens
        engine = open_engine(
            name, Path(folder), batch_size=chosen.batch_size, pad_id=turns.pad, precision=chosen.precision,
            max_length=longest + len(turns.header) + len(turns.middle) + 2,
            memory_share=1.0 if answerer is None else 0.5,
        )  # fmt: skip
        opened.append(engine)
        return engine, turns

    try:
        writer, turns = open_model(model)
        other: list[tuple[Engine, Turns]] = []

        def answering() -> tuple[Engine, Turns]:
            if answerer is not None and not other:
                other.append(open_model(answerer))
            return other[0] if other else (writer, turns)

        with tempfile.TemporaryDirectory() as scratch:
            return attempt(
                chosen, writer, answering, turns,
                seed_parts=(seed,), cell="row", scratch=Path(scratch), progress=progress,
            )  # fmt: skip
    finally:
        for engine in opened:
            engine.close()


def curate(
    rows: Any,
    seeds: Any,
    *,
    questions: Any = None,
    progress: Progress = silent,
    **settings: Any,
) -> pl.DataFrame:
    """Every row with its verdict (kept, dropped), reason, evidence, relevance and novelty, in the order of the rows.

    `rows`: a corpus of `synthesize`, or any prompts and responses. `seeds`: the examples they were written from.
    `questions`: benchmark questions that no kept row may hold, with the columns question and answers (lists of texts).
    `settings` are those of a profile's section [curation], such as keep (default: as many as there are), band or
    min_agreement. Columns: those of the rows, then of nomad_assets.steps.curation.CuratedCorpus.
    Raises NomadError on a missing column, on a setting that is not accepted, and on an embedder that is not there.
    """
    quiet()
    corpus, pool = _corpus(_rows(rows, "rows", blanks=True)), _rows(seeds, "seeds")
    chosen = _settings(Curation, {"keep": max(corpus.height, 1), **settings})
    embedder = Embedder(chosen.embedder)
    of_seeds = embedder.embed(pool["prompt"].to_list())
    of_rows = embedder.embed(completed(corpus)["prompt"].to_list(), progress)
    asked = _questions(questions)
    return rules.curate(corpus, pool, of_seeds, of_seeds, of_rows, asked, chosen, progress)


def _rows(rows: Any, what: str, blanks: bool = False) -> pl.DataFrame:
    """The rows with an id each: their own, or one of their content. `blanks`: texts may be missing, as in a corpus."""
    table = frame_of(rows, what)
    if missing := [name for name in TEXTS if name not in table.columns]:
        raise NomadError(f"{what}: no column {', '.join(missing)}; the table has {', '.join(table.columns) or 'none'}")
    if table.is_empty():
        raise NomadError(f"{what}: the table has no rows")
    table = table.with_columns(pl.col(TEXTS).cast(pl.String))
    empty = table.filter(pl.any_horizontal(pl.col(name).fill_null("") == "" for name in TEXTS))
    if not blanks and empty.height:
        raise NomadError(
            f"{what}: {empty.height} of {table.height} rows have an empty prompt or response; leave them out"
        )
    if "id" not in table.columns:
        ids = [Row(what, n, None, p or "", r or "").id for n, (p, r) in enumerate(table.select(TEXTS).iter_rows())]
        table = table.with_columns(pl.Series("id", ids, dtype=pl.String))
    return table.with_columns(pl.col("id").cast(pl.String))


def frame_of(rows: Any, what: str) -> pl.DataFrame:
    """A data frame of any kind, or a list of dictionaries, as polars. Raises NomadError when it is something else."""
    if isinstance(rows, pl.DataFrame | pl.LazyFrame):
        return rows.lazy().collect()
    if isinstance(rows, list):
        return pl.DataFrame(rows, infer_schema_length=None)
    if hasattr(rows, "__arrow_c_stream__"):
        return pl.DataFrame(rows)
    raise NomadError(f"{what}: {type(rows).__name__} is no data frame and no list of dictionaries")


def _corpus(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with every column of a corpus: each taken as one completed attempt where they say nothing else."""
    answers = [final_answer(text or "") for text in rows["response"]]
    defaults = {**ONE_ANSWER, "attempt": range(rows.height), "final_answer": answers}
    added = []
    for name in COLUMNS:
        if name not in rows.columns:
            value = defaults[name]
            added.append(pl.lit(value).alias(name) if not isinstance(value, list | range) else pl.Series(name, value))
    return rows.with_columns(added)


def _questions(questions: Any) -> list[tuple[str, str, list[str]]]:
    if questions is None:
        return []
    table = frame_of(questions, "questions")
    if missing := [name for name in ("question", "answers") if name not in table.columns]:
        raise NomadError(f"questions: no column {', '.join(missing)}; the table has {', '.join(table.columns)}")
    names = table["id"].cast(pl.String) if "id" in table.columns else [str(n) for n in range(1, table.height + 1)]
    return list(zip(names, table["question"], (list(answers) for answers in table["answers"]), strict=True))


def _settings(section: type[Chosen], values: dict[str, Any]) -> Chosen:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"]) or section.__name__.lower()
        if problem["type"] == "extra_forbidden":
            raise NomadError(f"{key}: unknown setting; accepted: {', '.join(section.model_fields)}") from None
        message = problem["msg"].removeprefix("Value error, ")
        raise NomadError(f"{key} = {shown(problem['input'])}: {message}") from None
