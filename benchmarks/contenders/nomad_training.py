"""Times this project's training: the loop inside `recipe.training.train`, as `teacher_model` calls it.

Settings are the profile's defaults but for what all contenders share: constant learning rate, rows per step, length and
precision. The loss falls on prompt and response with their end-of-turn tokens, or with `masked` on the response; the
scaffolding between them carries none. There is one variant.
"""

import sys
import tempfile
from pathlib import Path

import judged

import nomad_assets  # noqa: F401  before torch is imported, as in a user's own program


def main() -> None:
    job = judged.read_job()
    from nomad_assets.profile.sections import Training
    from nomad_assets.recipe.models.loading import load_tokenizer, quiet
    from nomad_assets.recipe.models.turns import Turns, training_rows
    from nomad_assets.recipe.training.launch import train_folder

    quiet()
    tokenizer = load_tokenizer(Path(job["model"]))
    rows = judged.read_rows(job, tokenizer)
    examples = [(str(number), row["prompt"], row["response"]) for number, row in enumerate(rows)]
    weight = 0.0 if job["masked"] else 1.0
    training, _ = training_rows(Turns(tokenizer, job["model"]), examples, weight, job["max_length"])
    settings = Training(
        epochs=float(job["epochs"]),
        learning_rate=job["learning_rate"],
        schedule="constant",
        warmup=0.0,
        batch_size=job["batch_size"],
        max_length=job["max_length"],
        precision=job["precision"],
    )
    with tempfile.TemporaryDirectory() as scratch, judged.watched_training() as watched:
        out = Path(scratch) / "model"
        train_folder(
            Path(job["model"]), training, settings, seed=job["seed"], scratch=Path(scratch), out=out, dtype="float32"
        )
        judged.report(job, watched, rows, str(out), ["nomad-assets", "transformers", "accelerate", "torch"])


if __name__ == "__main__":
    sys.exit(main())
