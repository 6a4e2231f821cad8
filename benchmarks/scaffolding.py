"""Is the template's scaffolding why TRL's unmasked models end at another response loss than ours on short rows?

python benchmarks/scaffolding.py

TRL takes its unmasked loss on every token of a chat, ours none on role headers. Trains the 48 trivia rows of
`training.py --count 48` with our loss, and with loss on every token; prints the tokens with loss and the response loss.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from harness import HERE, THREADS, base_model, shipped_rows

sys.path.insert(0, str(HERE / "contenders"))


def main() -> None:
    import judged
    import torch

    from nomad_assets.profile.sections import Training
    from nomad_assets.recipe.models.loading import load_tokenizer, quiet
    from nomad_assets.recipe.models.turns import Turns, training_rows
    from nomad_assets.recipe.training.launch import train_folder

    torch.set_num_threads(THREADS)
    quiet()
    source, tokenizer = shipped_rows("trivia", 48), load_tokenizer(base_model())
    examples = [(str(number), row["prompt"], row["response"]) for number, row in enumerate(source)]
    ours, _ = training_rows(Turns(tokenizer, "base"), examples, 1.0, 512)
    every = [replace(row, loss_weights=[0.0, *([1.0] * (len(row.input_ids) - 1))]) for row in ours]
    settings = Training(epochs=1, learning_rate=1e-4, schedule="constant", warmup=0.0, max_length=512, precision="bf16")
    for name, rows in (("prompt and response", ours), ("every token", every)):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "model"
            train_folder(base_model(), rows, settings, seed=0, scratch=Path(folder), out=out, dtype="float32")
            loss = judged.response_loss(str(out), source, tokenizer)
        print(f"loss on {name}: {sum(row.supervised for row in rows)} tokens, response loss {loss:.4f}")


if __name__ == "__main__":
    main()
