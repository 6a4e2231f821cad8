"""Times LLaMA-Factory's supervised fine-tuning through its Python entry point, `llamafactory.train.tuner.run_exp`.

`documented` follows its example of full fine-tuning (stage sft, finetuning_type full, bf16, its defaults otherwise, which
hold gradient checkpointing); the template is its chatml, the job sets what all contenders share. The loss falls on the
response with its end of turn and line break, or without `masked` on all of the chat (train_on_prompt). `best` turns
gradient checkpointing off; its packing was not tried.

LLaMA-Factory imports torchaudio wherever it prepares data, and uses it for audio alone. No build of it goes with a CPU
build of torch from the package index, so an empty module stands in for it.
"""

import importlib.machinery
import json
import sys
import tempfile
import types
from pathlib import Path

import judged

BEST = {"disable_gradient_checkpointing": True}


def main() -> None:
    job = judged.read_job()
    audio = types.ModuleType("torchaudio")
    audio.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = audio
    from llamafactory.train.tuner import run_exp

    tokenizer = judged.tokenizer_of(job["model"])
    rows = judged.read_rows(job, tokenizer)
    with tempfile.TemporaryDirectory() as scratch, judged.watched_training() as watched:
        data = Path(scratch)
        (data / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        columns = {"prompt": "prompt", "response": "response"}
        (data / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json", "columns": columns}}))
        out = str(data / "model")
        settings = {
            "model_name_or_path": job["model"],
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "full",
            "dataset": "rows",
            "dataset_dir": scratch,
            "template": "chatml",
            "cutoff_len": job["max_length"],
            "train_on_prompt": not job["masked"],
            "overwrite_cache": True,
            "output_dir": out,
            "per_device_train_batch_size": job["batch_size"],
            "gradient_accumulation_steps": 1,
            "num_train_epochs": float(job["epochs"]),
            "learning_rate": job["learning_rate"],
            "lr_scheduler_type": "constant",
            "bf16": job["precision"] == "bf16",
            "use_cpu": True,  # without a GPU it takes bf16 only so
            "seed": job["seed"],
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
        }  # weight_decay 0, max_grad_norm 1, no warm-up, and AdamW are its defaults
        if job["variant"] == "best":
            settings |= BEST
        run_exp(settings)
        packages = ["llamafactory", "transformers", "accelerate", "datasets", "torch"]
        judged.report(job, watched, rows, out, packages)


if __name__ == "__main__":
    sys.exit(main())
