"""Times transformers' Trainer: `trainer.train()` on the chats as causal language modelling.

`documented` is transformers' language modelling guide: `DataCollatorForLanguageModeling(tokenizer, mlm=False)` on padded
batches, with bf16 as the job says; for `masked`, labels of -100 up to the response and `DataCollatorForSeq2Seq`. The
loss falls on every token of the chat, or with `masked` on the response and what follows. `best` batches rows of like
length. Gradient checkpointing is off by default. It runs in the environment of trl.txt.
"""

import sys
import tempfile
from pathlib import Path

import judged

BEST = {"train_sampling_strategy": "group_by_length"}


def main() -> None:
    job = judged.read_job()
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForLanguageModeling,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    tokenizer = judged.tokenizer_of(job["model"])
    # The collator takes the loss off every padding token, and <|im_end|> is one unless another is named.
    tokenizer.pad_token = tokenizer.unk_token
    rows = judged.read_rows(job, tokenizer)
    encoded = [judged.chat_ids(tokenizer, row) for row in rows]
    if job["masked"]:
        items = [{"input_ids": ids, "labels": [-100] * head + ids[head:]} for ids, head in encoded]
        collator = DataCollatorForSeq2Seq(tokenizer)
    else:
        items = [{"input_ids": ids} for ids, _ in encoded]
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    settings = {
        "per_device_train_batch_size": job["batch_size"],
        "num_train_epochs": job["epochs"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "bf16": job["precision"] == "bf16",
        "use_cpu": True,  # without a GPU bf16 is taken only so
        "seed": job["seed"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
    }  # weight_decay 0, max_grad_norm 1, no warm-up, and AdamW are its defaults
    if job["variant"] == "best":
        settings |= BEST
    with tempfile.TemporaryDirectory() as scratch, judged.watched_training() as watched:
        out = str(Path(scratch) / "model")
        model = AutoModelForCausalLM.from_pretrained(job["model"])
        trainer = Trainer(
            model=model,
            args=TrainingArguments(output_dir=scratch, **settings),
            train_dataset=Dataset.from_list(items),
            data_collator=collator,
            processing_class=tokenizer,
        )
        trainer.train()
        trainer.save_model(out)
        judged.report(job, watched, rows, out, ["transformers", "accelerate", "datasets", "torch"])


if __name__ == "__main__":
    sys.exit(main())
