"""Synthesis speed against bare vLLM, distilabel and a plain loop over transformers' generate.

python benchmarks/synthesis.py ROWS [--teacher trivia] [--precision fp32] [--rounds 5]

A teacher writes ROWS prompts from the bare user turn and answers those that it ended. Tokens are those of the rows whose
prompt and response both ended, per second of the whole process, imports and the engine's start included. All compute in
the same precision, at temperature 1.
"""

from harness import OURS, Contender, arguments, compare, report, teacher

CONTENDERS = [
    Contender(OURS, "nomad_synthesis", None, {"engine": "auto"}),
    Contender("vLLM, bare script", "vllm_bare", "vllm_bare"),
    Contender("transformers generate", "hf_generate", "hf_generate"),
    Contender("distilabel, vLLM", "distilabel_magpie", "distilabel_vllm", {"backend": "vllm"}),
    Contender(
        "distilabel, transformers in batches", "distilabel_magpie", "distilabel", {"backend": "transformers_batched"}
    ),
    Contender("distilabel, transformers as documented", "distilabel_magpie", "distilabel", {"backend": "transformers"}),
]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("--teacher", default="trivia", choices=["trivia", "word_problems"])
    options = parser.parse_args()
    lengths = {"trivia": (32, 16), "word_problems": (64, 48)}[options.teacher]
    job = {
        "model": str(teacher(options.teacher)), "rows": options.rows, "prompt_tokens": lengths[0],
        "response_tokens": lengths[1], "temperature": 1.0, "top_p": 1.0, "seed": 1, "dtype": {"bf16": "bfloat16", "fp32": "float32"}[options.precision],
        "batch_size": min(options.rows, 128),
    }  # fmt: skip
    table = f"synthesis-{options.teacher}-{options.rows}"
    runs = compare(table, CONTENDERS, job, options)
    more = {
        "without start": lambda run: run["completed_tokens"] / run["seconds"],
        "start, s": lambda run: run["start_seconds"],
        "completed rows": lambda run: run["completed_rows"],
        "tokens": lambda run: run["completed_tokens"],
        "peak MiB": lambda run: run["tree_peak_mib"],
    }
    print(report(table, runs, "tokens/s", lambda run: run["completed_tokens"] / run["seconds_all"], more))


if __name__ == "__main__":
    main()
