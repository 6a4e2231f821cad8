"""What a teacher is given before it writes a prompt: the bare header of a user turn, or seed examples before it.

Worked example with ChatML and shots = 1: an attempt of the untouched model is given

    <|im_start|>user\\nWhere is Mali?<|im_end|>\\n<|im_start|>assistant\\nIn Africa.<|im_end|>\\n<|im_start|>user\\n

and writes a prompt of the same kind. Without shots it is given the last header alone, as in Magpie (Xu et al. 2024,
arXiv 2406.08464). Each attempt draws its own examples, so that the corpus does not hang on a few of them.
"""

import random

from nomad_assets.errors import NomadError
from nomad_assets.recipe.models.turns import Turns
from nomad_assets.recipe.seeding import derive_seed


class Context:
    """The contexts of one corpus. `examples` are (prompt, response) pairs, `seed` that of the corpus."""

    def __init__(self, turns: Turns, examples: list[tuple[str, str]], shots: int, seed: int):
        self._turns, self._shots, self._seed = turns, shots, seed
        texts = [text for example in examples for text in example]
        encoded = turns.encode_many(texts) if shots else []
        self._examples = list(zip(encoded[::2], encoded[1::2], strict=True))

    def of(self, attempt: int) -> list[int]:
        """Token ids for one attempt."""
        if not self._shots:
            return self._turns.header
        chosen = random.Random(derive_seed(self._seed, "shots", attempt)).sample(self._examples, self._shots)
        return self._turns.prompt_context(chosen)

    @property
    def longest(self) -> int:
        """Tokens of the longest context that can be drawn."""
        if not self._shots:
            return len(self._turns.header)
        longest = sorted(self._examples, key=lambda example: len(example[0]) + len(example[1]))[-self._shots :]
        return len(self._turns.prompt_context(longest))

    def check_fits(self, max_new_tokens: int, most: int | None) -> None:
        """Raises NomadError when the longest context leaves no room for a prompt in the model's `most` positions."""
        needed = self.longest + max_new_tokens
        if most is not None and needed > most:
            raise NomadError(
                f"shots = {self._shots}: the longest examples take {self.longest} tokens, which with a prompt of "
                f"{max_new_tokens} is {needed}; the model reads {most}. Use fewer shots, or a smaller "
                "synthesis.prompt.max_new_tokens"
            )
