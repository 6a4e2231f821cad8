"""Rows to label: what a small teacher of word problems writes, every prompt answered several times.

python benchmarks/sample_rows.py [--prompts 180] [--responses 4]

The teacher of `harness.teacher("word_problems")`, through the project's own synthesis, with the temperatures of `quickstart`.
Writes `.work/rows/word_problem_rows.jsonl`, one distinct prompt a line with its responses, null for one that did not end.
`label_rows.py` labels them.
"""

import argparse
import shutil

from harness import THREADS, WORK, teacher, write_rows

ROWS_FILE = "word_problem_rows"
SEED = 20


def sampled(prompts: int, responses: int) -> list[dict]:
    """Of `prompts` attempts the distinct prompts that ended, each with its responses in their order."""
    import torch

    from nomad_assets.profile.sections import Sampling, Synthesis
    from nomad_assets.recipe.generation.engine import open_engine
    from nomad_assets.recipe.generation.synthesis import synthesize
    from nomad_assets.recipe.models.loading import load_tokenizer, quiet
    from nomad_assets.recipe.models.turns import Turns

    torch.set_num_threads(THREADS)
    quiet()
    settings = Synthesis(
        engine="transformers", target=prompts * responses, max_attempts=prompts, responses_per_prompt=responses,
        batch_size=128, shard_size=60, prompt=Sampling(max_new_tokens=96), response=Sampling(max_new_tokens=96, temperature=0.7),
    )  # fmt: skip
    folder = teacher("word_problems")
    turns = Turns(load_tokenizer(folder), str(folder))
    engine = open_engine(
        "transformers", folder, batch_size=settings.batch_size, pad_id=turns.pad, max_length=512, precision="fp32"
    )
    scratch = WORK / "scratch-rows"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        corpus = synthesize(
            settings, engine, lambda: (engine, turns), turns, seed_parts=(SEED,), cell="labelled", scratch=scratch
        )
    finally:
        engine.close()
    found: dict[str, dict] = {}
    attempts = corpus.filter(prompt_end="completed").sort("attempt", "response_index").partition_by("attempt")
    for attempt in attempts:
        prompt, number = attempt["prompt"][0], attempt["attempt"][0]
        texts = [
            text if end == "completed" else None for text, end in attempt.select("response", "response_end").rows()
        ]
        found.setdefault(prompt, {"attempt": number, "prompt": prompt, "responses": texts})
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=180, help="attempts")
    parser.add_argument("--responses", type=int, default=4, help="to each prompt")
    options = parser.parse_args()
    rows = sampled(options.prompts, options.responses)
    print(f"{len(rows)} distinct prompts: {write_rows(rows, ROWS_FILE)}")


if __name__ == "__main__":
    main()
