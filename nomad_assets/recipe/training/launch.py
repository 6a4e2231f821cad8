"""From a base model's folder to a trained model's folder, in this process or in several that train together.

With `processes` above 1 the work goes to `torch.distributed.run`, whose processes accelerate finds by itself: data
parallel, or FSDP where the settings say so. They read a job file and write their result beside it; the first one prints
its progress as JSON lines, which this process passes on.
"""

import gc
import json
import os
import socket
import subprocess
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.models.turns import TrainingRow
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.training.trainer import TrainingResult, train

JOB, RESULT = "job.json", "result.json"
LAST_LINES = 100


def train_folder(
    base: Path,
    rows: list[TrainingRow],
    settings: Training,
    *,
    seed: int,
    scratch: Path,
    out: Path,
    dtype: str,
    progress: Progress = silent,
) -> TrainingResult:
    """Train the model in `base` on `rows` and save it to `out` with its tokenizer, weights in `dtype`.

    Raises NomadError when the loss stops being a number, or with the last lines of output when a process fails.
    """
    if settings.processes == 1:
        result = _train_here(base, rows, settings, seed, scratch, out, dtype, progress)
        gc.collect()  # the model's parts hold methods that hold them
        return result
    scratch.mkdir(parents=True, exist_ok=True)
    job = {
        "base": str(base), "rows": [asdict(row) for row in rows], "settings": settings.model_dump(mode="json"),
        "seed": seed, "out": str(out), "dtype": dtype,
    }  # fmt: skip
    (scratch / JOB).write_text(json.dumps(job), encoding="utf-8")
    (scratch / RESULT).unlink(missing_ok=True)
    # An address of our own: `--standalone` has the processes meet through pickles on an open port.
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(settings.processes),
        "--master_addr", "127.0.0.1", "--master_port", str(_free_port()), "-m", "nomad_assets.recipe.training.launch", str(scratch),
    ]  # fmt: skip
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            last.append(line)
            if line.startswith('{"progress"'):
                progress(*json.loads(line)["progress"])
    if process.returncode != 0 or not (scratch / RESULT).is_file():
        raise NomadError(f"training on {settings.processes} processes failed:\n{''.join(last)}")
    return TrainingResult(**json.loads((scratch / RESULT).read_text(encoding="utf-8")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _train_here(base, rows, settings, seed, scratch, out, dtype, progress) -> TrainingResult:
    import torch

    from nomad_assets.recipe.models.loading import load_model, load_tokenizer, save_model

    model, tokenizer = load_model(base, torch.float32), load_tokenizer(base)

    def save(state: dict[str, torch.Tensor]) -> None:
        save_model(model, tokenizer, out, dtype, state)

    return train(
        model, rows, settings, seed=seed, scratch=scratch / "checkpoints", progress=progress, save=save,
    )  # fmt: skip


def _main(scratch: Path) -> None:
    """What each of the processes runs."""
    from nomad_assets.recipe.models.loading import quiet

    def print_progress(*call: object) -> None:
        print(json.dumps({"progress": call}), flush=True)

    quiet()
    job = json.loads((scratch / JOB).read_text(encoding="utf-8"))
    result = _train_here(
        Path(job["base"]), [TrainingRow(**row) for row in job["rows"]], Training(**job["settings"]), job["seed"],
        scratch, Path(job["out"]), job["dtype"], print_progress,
    )  # fmt: skip
    if os.environ["RANK"] == "0":
        (scratch / RESULT).write_text(json.dumps(asdict(result)), encoding="utf-8")


def _leave() -> None:
    """End the process without Python's own clean-up, in which a native thread that still wants to run aborts it at times.

    Everything is on disk by now, and the launcher would take the abort of one process for the failure of all.
    """
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
    _leave()
