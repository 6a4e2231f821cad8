"""Where the time goes: one training step (long and short rows, and the first), one synthesis batch, one curation pass.

python benchmarks/profiles.py [NAME ...]

Writes results/profile-NAME.txt for training, short-rows, first-step, synthesis and curation, or those that are named.
"""

import cProfile
import io
import pstats
import sys
import time

from harness import RESULTS, THREADS, WORK, base_model, shipped_rows, teacher
from planted import write_corpus


def training_step() -> str:
    """The second step of sixteen word problems, forward and backward, with the loss on prompt and response."""
    return _second_step("word_problems", 16)


def short_rows() -> str:
    """The same of eight trivia rows."""
    return _second_step("trivia", 8)


def first_step() -> str:
    """Seconds of an optimizer's first two steps on weights that lie in their file, and on weights that were taken out."""
    import torch

    from nomad_assets.recipe.memory import keep_freed_memory, take_from_file
    from nomad_assets.recipe.models.loading import load_model

    keep_freed_memory()
    lines = []
    for taken in (False, True) * 3:
        model = load_model(base_model(), torch.float32)
        begun = time.monotonic()
        count = take_from_file(model) if taken else 0
        copied = time.monotonic() - begun
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        seconds = []
        for _ in range(2):
            begun = time.monotonic()
            optimizer.step()
            seconds.append(time.monotonic() - begun)
        lines.append(f"{count:3d} weights copied {copied:.2f}, first step {seconds[0]:.2f}, second {seconds[1]:.2f}")
    return "\n".join(lines)


def _second_step(rows_of: str, count: int) -> str:
    import torch

    from nomad_assets.recipe.kernels.exchange import exchange_layers
    from nomad_assets.recipe.memory import keep_freed_memory
    from nomad_assets.recipe.models.loading import load_model, load_tokenizer
    from nomad_assets.recipe.models.turns import Turns, training_rows
    from nomad_assets.recipe.training.packing import attend_within_rows, pack
    from nomad_assets.recipe.training.trainer import resolve_precision, weighted_loss

    keep_freed_memory()
    folder = base_model()
    model = load_model(folder, torch.float32).train()
    attend_within_rows(model)
    exchange_layers(model)
    examples = [(str(n), row["prompt"], row["response"]) for n, row in enumerate(shipped_rows(rows_of, count))]
    rows, _ = training_rows(Turns(load_tokenizer(folder), "base"), examples, 1.0, 512)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    precision = resolve_precision("auto")

    def step() -> None:
        batch = pack(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = weighted_loss(model, batch, batch["weights"].sum())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step()
    tokens = sum(len(row.input_ids) for row in rows)
    return f"{tokens} tokens in {len(rows)} rows, {precision}\n\n{_torch_profile(step)}"


def synthesis_batch() -> str:
    """64 prompts of up to 32 tokens, and the answers to those that ended."""
    from nomad_assets.profile.sections import Sampling
    from nomad_assets.recipe.generation.engine import Request
    from nomad_assets.recipe.generation.transformers_engine import TransformersEngine
    from nomad_assets.recipe.models.loading import load_tokenizer
    from nomad_assets.recipe.models.turns import Turns

    folder = teacher("trivia")
    turns = Turns(load_tokenizer(folder), "teacher")
    engine = TransformersEngine.load(folder, batch_size=64, pad_id=turns.pad)

    def batch() -> None:
        requests = [Request(turns.header, seed) for seed in range(64)]
        prompts = engine.generate(requests, Sampling(max_new_tokens=32), {turns.prompt_end})
        contexts = [Request(turns.response_context(p.ids), n) for n, p in enumerate(prompts) if p.stopped]
        engine.generate(contexts, Sampling(max_new_tokens=16), {turns.response_end})

    batch()
    return f"{engine.precision}\n\n{_torch_profile(batch)}"


def curation_pass() -> str:
    """The rules on 20,000 planted rows."""
    import polars as pl

    from nomad_assets.profile.sections import Curation
    from nomad_assets.recipe.curation.curate import rule_verdicts

    folder = WORK / "planted" / "20000"
    if not (folder / "truth.parquet").is_file():
        write_corpus(folder, 20_000, 7)
    corpus, seeds = pl.read_parquet(folder / "corpus.parquet"), pl.read_parquet(folder / "seeds.parquet")
    questions = pl.read_parquet(folder / "questions.parquet").select("id", "question", "answers").rows()
    profiler = cProfile.Profile()
    profiler.runcall(rule_verdicts, corpus, seeds, questions, Curation(keep=corpus.height))
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(20)
    return text.getvalue()


def _torch_profile(work) -> str:
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.set_num_threads(THREADS)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    return found.key_averages().table(sort_by="self_cpu_time_total", row_limit=24, max_name_column_width=48)


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    all_of_them = {
        "training": training_step, "short-rows": short_rows, "first-step": first_step, "synthesis": synthesis_batch,
        "curation": curation_pass,
    }  # fmt: skip
    for name in sys.argv[1:] or all_of_them:
        make = all_of_them[name]
        text = f"{make.__doc__}\n{make()}"
        (RESULTS / f"profile-{name}.txt").write_text(text.rstrip() + "\n", encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
