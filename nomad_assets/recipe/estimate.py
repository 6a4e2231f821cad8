"""What a grid will take on this machine, from a short measurement: a few training steps and one decoded batch."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nomad_assets.profile import Profile, Training
from nomad_assets.recipe.engines import Request, open_engine
from nomad_assets.recipe.launch import train_folder
from nomad_assets.recipe.masking import Turns, training_rows
from nomad_assets.recipe.memory import peak_memory, reset_peak_memory
from nomad_assets.recipe.models import load_tokenizer
from nomad_assets.recipe.training import passes

MEASURED_STEPS = 3
DECODED_ROWS, DECODED_TOKENS = 32, 24
READ = 1000  # rows that are looked at for some that fit


@dataclass(frozen=True)
class Speed:
    """Measured on this machine with the profile's base model. Tokens are real ones, never padding."""

    trained_per_second: float
    decoded_per_second: float
    start_seconds: float
    """Loading and saving a model, which every trained model pays."""
    model_bytes: int
    """On disk."""
    peak_bytes: int | None
    """Of this process's resident memory while training; None where the platform does not tell."""


@dataclass(frozen=True)
class Estimate:
    """One line of the forecast: an asset, how often it is made, and what all of them take together."""

    asset: str
    times: int
    seconds: float
    bytes: int


def measure(profile: Profile, base: Path, examples: list[tuple[str, str, str]]) -> Speed:
    """Train on some (id, prompt, response) triples for a few steps and decode one batch.

    Raises NomadError when none of them fits in `teacher.max_length`.
    """
    turns = Turns(load_tokenizer(base), str(base))
    rows, _ = training_rows(turns, examples[:READ], 1.0, profile.teacher.max_length)
    per_step = profile.teacher.batch_size * profile.teacher.gradient_accumulation * profile.teacher.processes
    rows = (rows * (1 + MEASURED_STEPS * per_step // len(rows)))[: MEASURED_STEPS * per_step]
    settings = profile.teacher.model_copy(update={"epochs": 1.0, "min_steps": 0, "checkpoint_minutes": 60.0})
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        known = reset_peak_memory()
        begun = time.monotonic()
        result = train_folder(
            base, rows, settings, seed=0, scratch=Path(folder) / "scratch", out=Path(folder) / "model",
            dtype=profile.base_model.dtype, progress=lambda *_: times.append(time.monotonic()),
        )  # fmt: skip
        whole, peak = time.monotonic() - begun, peak_memory(known)
        # The first step warms up and is counted as part of the start.
        steady = (times[-1] - times[0]) / max(1, len(times) - 1) if len(times) > 1 else whole
        trained = result.tokens / result.steps / steady
        size = sum(path.stat().st_size for path in (Path(folder) / "model").rglob("*") if path.is_file())
    engine = open_engine(
        "transformers", base, batch_size=DECODED_ROWS, max_length=DECODED_TOKENS + len(turns.header) + 2, pad_id=turns.pad,
        precision=profile.synthesis.precision,
    )  # fmt: skip
    try:
        requests = [Request(turns.header, number) for number in range(DECODED_ROWS)]
        sampling = profile.synthesis.prompt.model_copy(update={"max_new_tokens": DECODED_TOKENS})
        begun = time.monotonic()
        written = engine.generate(requests, sampling, set())
        decoded = sum(len(generation.ids) for generation in written) / (time.monotonic() - begun)
    finally:
        engine.close()
    return Speed(trained, decoded, max(0.0, whole - steady * result.steps), size, peak)


def forecast(
    profile: Profile, speed: Speed, prompt_tokens: float, response_tokens: float, questions: int
) -> list[Estimate]:
    """What each asset of the whole grid takes: seconds and bytes on disk, all partitions together.

    `prompt_tokens` (with the scaffolding) and `response_tokens` are means over the seed rows. Synthetic rows are taken to
    be as long; a teacher may write longer ones, and vLLM, where it is used, is faster than what was measured.
    """
    sizes, arms = profile.grid.train_sizes, len(profile.grid.prompt_loss) * profile.grid.replicates
    cells = len(sizes) * arms

    def training(rows: int, settings: Training) -> float:
        tokens = passes(settings, rows) * rows * (prompt_tokens + response_tokens)
        return speed.start_seconds + tokens / speed.trained_per_second

    keep, own = profile.curation.keep, profile.student.include_seeds
    each = profile.synthesis.responses_per_prompt
    attempts = min(profile.synthesis.max_attempts, round(1.3 * profile.synthesis.target / each))
    row_tokens = prompt_tokens + each * response_tokens
    corpus = attempts * row_tokens / speed.decoded_per_second
    scored = questions * response_tokens / speed.decoded_per_second
    row_bytes = int(attempts * row_tokens * 6)
    return [
        Estimate("base_model", 1, speed.start_seconds, speed.model_bytes),
        Estimate("teacher_model", cells, arms * sum(training(n, profile.teacher) for n in sizes), cells * speed.model_bytes),
        Estimate("synthetic_corpus", cells, cells * corpus, cells * row_bytes),
        Estimate("curated_corpus", cells, cells * 0.005 * attempts, cells * (2 * row_bytes + attempts * 1536)),
        Estimate(
            "student_model", cells, arms * sum(training(keep + (n if own else 0), profile.student) for n in sizes),
            cells * speed.model_bytes,
        ),
        Estimate("control_model", len(sizes), sum(training(n, profile.student) for n in sizes), len(sizes) * speed.model_bytes),
        Estimate("scores", cells + len(sizes) + 1, (cells + len(sizes) + 1) * scored, 0),
    ]  # fmt: skip
