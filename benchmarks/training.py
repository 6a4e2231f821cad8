"""Training speed and memory against TRL, LLaMA-Factory and transformers' Trainer.

python benchmarks/training.py [--rows FILE.jsonl] [--count 16] [--masked] [--precision fp32] [--loaded] [--rounds 5]

SmolLM2-135M on the first rows of a JSONL file with `question` and `answer`, or of the shipped trivia: one pass, 8 rows a
step, the same precision and optimizer settings. Tokens are those of the rows' chats, never padding. `response loss` is the
trained model's, in nats per response token on 16 of the rows, computed by the same code for all.
"""

import argparse
import json

from harness import OURS, Contender, arguments, base_model, compare, report, shipped_rows, write_rows

CONTENDERS = [
    Contender(OURS, "nomad_training"),
    Contender("TRL as documented", "trl_sft", "trl"),
    Contender("TRL, padding-free", "trl_sft", "trl", {"variant": "best"}),
    Contender("TRL, packed", "trl_sft", "trl", {"variant": "packed"}),
    Contender("TRL, padded, no checkpointing", "trl_sft", "trl", {"variant": "padded"}),
    Contender("transformers Trainer", "hf_trainer", "trl"),
    Contender("LLaMA-Factory", "llama_factory", "llama_factory"),
]


def with_rows(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line with the options that choose rows."""
    parser.add_argument("--rows", help="a JSONL file with question and answer; the shipped trivia where not given")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--masked", action="store_true")
    return parser.parse_args()


def training_job(table: str, options: argparse.Namespace) -> dict:
    if options.rows:
        with open(options.rows, encoding="utf-8") as file:
            found = [json.loads(line) for line, _ in zip(file, range(options.count), strict=False)]
        rows = [{"prompt": row["question"], "response": row["answer"]} for row in found]
    else:
        rows = shipped_rows("trivia", options.count)
    return {
        "model": str(base_model()), "rows": write_rows(rows, table), "masked": options.masked, "variant": "documented",
        "batch_size": 8, "epochs": 1, "max_length": 512, "learning_rate": 1e-4, "seed": 0, "precision": options.precision,
    }  # fmt: skip


def training_report(table: str, runs: list[dict]) -> str:
    more = {
        "peak MiB": lambda run: run["peak_mib"],
        "response loss": lambda run: run["final_eval_loss"],
        "tokens": lambda run: run["real_tokens"],
    }
    return report(table, runs, "tokens/s", lambda run: run["real_tokens"] / run["seconds"], more)


def main() -> None:
    options = with_rows(arguments(__doc__))
    table = f"training-{'given' if options.rows else 'trivia'}-{'masked' if options.masked else 'unmasked'}"
    runs = compare(table, CONTENDERS, training_job(table, options), options)
    print(training_report(table + (", loaded" if options.loaded else ""), runs))


if __name__ == "__main__":
    main()
