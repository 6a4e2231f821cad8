"""Scoring speed against lm-evaluation-harness' command line, on the shipped questions.

python benchmarks/scoring.py [--count 120] [--rounds 5]

Whole processes, imports and model loading included. The same model, questions, prompts, stops and metrics, bf16. Ours
also takes the log-probability of every reference answer and the intervals.
"""

import json

from harness import OURS, ROOT, Contender, arguments, compare, report, teacher, write_rows

CONTENDERS = [
    Contender(OURS, "nomad_scoring"),
    Contender("lm-eval, as documented", "lm_eval_cli", "lm_eval", {"variant": "documented"}),
    Contender("lm-eval, same batch size", "lm_eval_cli", "lm_eval", {"variant": "best"}),
]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--count", type=int, default=120)
    options = parser.parse_args()
    lines = (ROOT / "data" / "benchmark" / "word_problems.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[: options.count]]
    for row in rows:
        row.setdefault("answers", [row["answer"].rpartition("####")[2].strip()])
        row.setdefault("reference", row["answer"])
    job = {
        "model": str(teacher("word_problems")), "questions": write_rows(rows, "questions"), "rule": "gsm8k",
        "max_new_tokens": 64, "batch_size": 40, "dtype": "bfloat16", "variant": "best",
    }  # fmt: skip
    runs = compare("scoring", CONTENDERS, job, options)
    score = {"score": lambda run: max(value for name, value in run["scores"].items() if name != "log_probability")}
    print(report("scoring", runs, "questions/s", lambda run: run["questions"] / run["seconds_all"], score))


if __name__ == "__main__":
    main()
