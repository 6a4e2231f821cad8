"""What a grid will take on this machine, from a short measurement: a few training steps and one decoded batch."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nomad_assets.cells import Over
from nomad_assets.grid import Arm, Grid
from nomad_assets.profile.profile import Profile
from nomad_assets.profile.sections import TEACHER, Training
from nomad_assets.recipe.generation.engine import Request, open_engine
from nomad_assets.recipe.memory import peak_memory, reset_peak_memory
from nomad_assets.recipe.models.device import device
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import TrainingRow, Turns, training_rows
from nomad_assets.recipe.training.launch import train_folder
from nomad_assets.recipe.training.trainer import amount, rows_per_step
from nomad_assets.steps.students import like_every_student

MEASURED_STEPS = 3
DECODED_ROWS, DECODED_TOKENS = 32, 24
READ = 1000  # rows that are looked at for some that fit


# Fixed costs, measured on two CPU cores: of a curated corpus, of each of its rows, and of lm-evaluation-harness a model.
CURATED_SECONDS, CURATED_ROW_SECONDS, HARNESS_SECONDS = 0.3, 0.005, 0.8
TOKEN_BYTES, EMBEDDING_BYTES = 6, 1536  # on disk, of a written token and of a row's embedding
FORWARD_SHARE = 1 / 3  # of the time of a trained token, whose backward pass costs twice its forward pass


@dataclass(frozen=True)
class Speed:
    """Measured on this machine with the profile's base model. Tokens are real ones, never padding."""

    trained_per_second: float
    """Tokens, in steps as the teacher's settings make them."""
    step_seconds: float
    """What an optimizer step takes whatever its rows."""
    token_seconds: float
    """What a token of a row adds to its step."""
    decoded_per_second: float
    open_seconds: float
    """Loading a model to decode with."""
    start_seconds: float
    """Loading, warming up and saving a model, which every trained model pays."""
    base_seconds: float
    """Building the base model."""
    model_bytes: int
    """On disk."""
    peak_bytes: int | None
    """Of this process's resident memory while training; None where the platform does not tell, and where the work is done
    elsewhere: on a GPU, or by several processes."""


@dataclass(frozen=True)
class Estimate:
    """One line of the forecast: an asset, how often it is made, and what all of them take together."""

    asset: str
    times: int
    seconds: float
    bytes: int


def measure(profile: Profile, base: Path, base_seconds: float, examples: list[tuple[str, str, str]]) -> Speed:
    """Train on some (id, prompt, response) triples for a few steps and decode one batch.

    Raises NomadError when none of them fits in `teacher.max_length`.
    """
    turns = Turns(load_tokenizer(base), str(base))
    rows, _ = training_rows(turns, examples[:READ], 1.0, profile.teacher.max_length)
    with tempfile.TemporaryDirectory() as folder:
        known = reset_peak_memory()
        full, single, start = _train(profile, base, rows, Path(folder))
        here = device().type == "cpu" and profile.teacher.processes == 1
        peak = peak_memory(known) if here else None
        size = sum(path.stat().st_size for path in (Path(folder) / "model").rglob("*") if path.is_file())
    # What a full step and one of a single row differ by is the price of the tokens.
    per_step = rows_per_step(profile.teacher)
    tokens = sum(len(row.input_ids) for row in rows) / len(rows) * per_step
    price = max(0.0, full - single) * per_step / (per_step - 1) if per_step > 1 else full
    decoded, opened = _decode(profile, base, turns)
    return Speed(
        trained_per_second=tokens / full, step_seconds=max(0.0, full - price), token_seconds=price / tokens,
        decoded_per_second=decoded, open_seconds=opened, start_seconds=start, base_seconds=base_seconds, model_bytes=size,
        peak_bytes=peak,
    )  # fmt: skip


def _train(profile: Profile, base: Path, rows: list[TrainingRow], folder: Path) -> tuple[float, float, float]:
    """Seconds of a full step, of a step with one row, and of everything else, with the first step, which warms up."""
    count = MEASURED_STEPS * rows_per_step(profile.teacher) + 1
    rows = (rows * (1 + count // len(rows)))[:count]
    settings = profile.teacher.model_copy(update={"epochs": 1.0, "min_steps": 0, "checkpoint_minutes": 60.0})
    times: list[float] = []
    begun = time.monotonic()
    train_folder(
        base, rows, settings, seed=0, scratch=folder / "scratch", out=folder / "model",
        dtype=profile.base_model.dtype, progress=lambda *_: times.append(time.monotonic()),
    )  # fmt: skip
    start = time.monotonic() - begun - (times[-1] - times[0])
    return (times[-2] - times[0]) / (len(times) - 2), times[-1] - times[-2], start


def _decode(profile: Profile, base: Path, turns: Turns) -> tuple[float, float]:
    """(tokens per second of one batch, seconds of loading the model)."""
    begun = time.monotonic()
    engine = open_engine(
        "transformers", base, batch_size=DECODED_ROWS, max_length=DECODED_TOKENS + len(turns.header) + 2, pad_id=turns.pad,
        precision=profile.synthesis.precision,
    )  # fmt: skip
    opened = time.monotonic() - begun
    try:
        requests = [Request(turns.header, number) for number in range(DECODED_ROWS)]
        sampling = profile.synthesis.prompt.model_copy(update={"max_new_tokens": DECODED_TOKENS})
        begun = time.monotonic()
        written = engine.generate(requests, sampling, set())
        return sum(len(generation.ids) for generation in written) / (time.monotonic() - begun), opened
    finally:
        engine.close()


def forecast(
    profile: Profile, speed: Speed, prompt_tokens: float, response_tokens: float, questions: dict[str, int]
) -> list[Estimate]:
    """What each asset of the whole grid takes: seconds and bytes on disk, all partitions together.

    `prompt_tokens` (with the scaffolding) and `response_tokens` are means over the seed rows that fit; `questions` counts
    those of each benchmark. Synthetic rows are taken to be as long; a teacher may write longer ones, and vLLM, where it is
    used, is faster than what was measured. The untouched base is taken to answer each question to its limit.
    """
    grid = Grid(profile)
    cells, trained = grid.cells, [cell for cell in grid.cells if grid.arms[cell.arm].teacher is not None]

    def training(rows: int, settings: Training) -> float:
        steps, shown = amount(settings, rows, response_tokens)
        tokens = shown * (prompt_tokens + response_tokens)
        return speed.start_seconds + steps * speed.step_seconds + tokens * speed.token_seconds

    def scoring(tokens: float) -> float:
        read = sum(questions.values()) * (prompt_tokens + response_tokens) * speed.token_seconds * FORWARD_SHARE
        return speed.open_seconds + HARNESS_SECONDS + read + tokens / speed.decoded_per_second

    students, controls = grid.members(Over.SELECTIONS), grid.members(Over.CONTROLS)
    corpora = [_corpus(grid.arms[cell.arm], prompt_tokens, response_tokens) for cell in cells]
    attempts, row_tokens = (sum(numbers) for numbers in zip(*corpora, strict=True))
    # A model that writes and one that answers, where the teacher does not do both.
    opened = sum(1 + (grid.arms[cell.arm].synthesis.answerer != TEACHER) for cell in cells)
    answers = sum(questions.values()) * response_tokens
    longest = sum(count * profile.benchmarks[name].max_new_tokens for name, count in questions.items())
    scored = (len(students) + len(controls)) * scoring(answers) + scoring(longest)
    curations = len(grid.selections) + 1
    return [
        Estimate("base_model", 1, speed.base_seconds, speed.model_bytes),
        Estimate(
            "teacher_model", len(cells), sum(training(c.train_size, grid.arms[c.arm].teacher) for c in trained),
            len(trained) * speed.model_bytes,
        ),
        Estimate(
            "synthetic_corpus", len(cells), opened * speed.open_seconds + row_tokens / speed.decoded_per_second,
            int(row_tokens * TOKEN_BYTES),
        ),
        Estimate(
            "curated_corpus", len(students), len(students) * CURATED_SECONDS + CURATED_ROW_SECONDS * attempts * curations,
            int(2 * row_tokens * TOKEN_BYTES + attempts * EMBEDDING_BYTES) * curations,
        ),
        Estimate(
            "student_model", len(students), sum(training(profile.curation.keep, like_every_student(profile, c.train_size)) for c in students),
            len(students) * speed.model_bytes,
        ),
        Estimate(
            "control_model", len(controls), sum(training(c.train_size, like_every_student(profile, c.train_size)) for c in controls),
            len(controls) * speed.model_bytes,
        ),
        Estimate("scores", len(students) + len(controls) + 1, scored, 0),
    ]  # fmt: skip


def _corpus(arm: Arm, prompt_tokens: float, response_tokens: float) -> tuple[int, float]:
    """(attempts, tokens written) of one corpus."""
    each = arm.synthesis.responses_per_prompt
    attempts = min(arm.synthesis.max_attempts, round(1.3 * arm.synthesis.target / each))
    return attempts, attempts * (prompt_tokens + each * response_tokens)
