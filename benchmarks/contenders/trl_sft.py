"""Times TRL's SFTTrainer: `trainer.train()` on prompt-completion chats.

`documented` is how TRL's documentation starts it, `SFTTrainer(model=..., args=SFTConfig(...), train_dataset=...)` with
TRL's own defaults (bf16, gradient checkpointing, padded batches, no packing); the job sets what all contenders share:
optimizer settings, rows per step, length, precision. No checkpoints are written. The loss falls on every token of the
chat, or with `masked` on the completion alone; TRL counts the line break after <|im_end|> to it.

Three ways to make it fast, which led when settings were tried: `best` keeps the rows of every optimizer step and lays a
quarter of them at a time end to end (padding_free); `packed` packs rows to 512 tokens (bfd), one pack four times a step,
so that a step holds about as many rows but not the same. `padded` is as documented but for gradient checkpointing, which
leads with rows so short that several passes a step cost more than padding. All three are without gradient checkpointing.
The loss without full logits is TRL's default.
"""

import sys
import tempfile
from pathlib import Path

import judged

PARTS = 4


def main() -> None:
    job = judged.read_job()
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = judged.read_rows(job, judged.tokenizer_of(job["model"]))
    chats = [judged.messages(row) for row in rows]
    dataset = Dataset.from_list([{"prompt": prompt, "completion": response} for prompt, response in chats])
    settings = {
        "max_length": job["max_length"],
        "per_device_train_batch_size": job["batch_size"],
        "num_train_epochs": job["epochs"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "bf16": job["precision"] == "bf16",
        "use_cpu": True,  # without a GPU bf16 is taken only so
        "completion_only_loss": job["masked"],
        "seed": job["seed"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
    }  # weight_decay 0, max_grad_norm 1, no warm-up, and AdamW are its defaults
    if job["variant"] == "best":
        settings |= {
            "gradient_checkpointing": False,
            "padding_free": True,
            "max_length": None,  # what padding_free asks for; no row is longer than the job's
            "per_device_train_batch_size": max(1, job["batch_size"] // PARTS),
            "gradient_accumulation_steps": min(PARTS, job["batch_size"]),
        }
    elif job["variant"] == "padded":
        settings |= {"gradient_checkpointing": False}
    elif job["variant"] == "packed":
        settings |= {
            "gradient_checkpointing": False,
            "packing": True,
            "packing_strategy": "bfd",
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": PARTS,
        }
    with tempfile.TemporaryDirectory() as scratch, judged.watched_training() as watched:
        out = str(Path(scratch) / "model")
        trainer = SFTTrainer(model=job["model"], args=SFTConfig(output_dir=scratch, **settings), train_dataset=dataset)
        trainer.train()
        trainer.save_model(out)
        judged.report(job, watched, rows, out, ["trl", "transformers", "accelerate", "datasets", "torch"])


if __name__ == "__main__":
    sys.exit(main())
