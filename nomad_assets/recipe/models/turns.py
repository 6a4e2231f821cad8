"""Turns as tokens, and which of them carry loss.

Worked example with SmolLM2's ChatML, prompt loss weight w and one row ("Hi there", "Yes"):

    <|im_start|> user \\n | Hi  there <|im_end|> | \\n <|im_start|> assistant \\n | Yes <|im_end|>
    0            0    0    w   w     w             0  0            0         0     1   1

The scaffolding is given, never generated, so it carries no loss. The end-of-turn token that closes the prompt does:
without it the teacher never learns to stop writing the prompt.

Contents are tokenised apart from the scaffolding and with special tokens taken as text, so that data can never open or
close a turn, and so that training, synthesis and scoring see the same tokens for the same text.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROMPT, _RESPONSE = "PROMPTSENTINEL", "RESPONSESENTINEL"


@dataclass(frozen=True)
class TrainingRow:
    """Token ids of one row and the loss weight of each token, both of length T."""

    id: str
    input_ids: list[int]
    loss_weights: list[float]
    phase: int = 0
    """Rows of a lower phase are trained on first."""

    @property
    def supervised(self) -> int:
        """Number of tokens with loss."""
        return sum(weight > 0 for weight in self.loss_weights)


class Turns:
    """The scaffolding of a single-turn chat in token ids.

    header: what comes before a prompt; middle: between the prompt's end-of-turn token and the response.
    prompt_end and response_end are the end-of-turn token ids that close each.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", name: str):
        """`name` stands in error messages. Raises NomadError when template or end-of-turn tokens cannot be found."""
        self.tokenizer, self.name = tokenizer, name
        self._scaffoldings: dict[int, list[list[int]]] = {}
        if not tokenizer.chat_template:
            raise NomadError(
                f'{name}: the tokenizer has no chat template; set base_model.chat_template = "chatml" or a Jinja file'
            )
        before, middle, after = self._segments(name)
        self.header = self._scaffold(before)
        middle_ids, after_ids = self._scaffold(middle), self._scaffold(after)
        added = tokenizer.added_tokens_decoder
        for ids, turn in ((middle_ids, "prompt"), (after_ids, "response")):
            if not ids or ids[0] not in {*tokenizer.all_special_ids, *added}:
                raise NomadError(
                    f"{name}: no end-of-turn token closes the {turn} in the chat template (found "
                    f"{tokenizer.decode(ids[:4])!r}); use a template whose turns end in a special token, "
                    'such as base_model.chat_template = "chatml"'
                )
        self.prompt_end, self.middle = middle_ids[0], middle_ids[1:]
        self.response_end = after_ids[0]
        # An added token that is not marked as special (Qwen's <think>, runs of spaces) is text, unless the template uses it.
        scaffold = {*self.header, *middle_ids, *after_ids}
        self.specials = frozenset(
            {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special or i in scaffold)}
        )
        # What no content may hold. A character that the vocabulary lacks is its unknown token: lossy, but no way out.
        self._forbidden = self.specials - {tokenizer.unk_token_id} | {self.prompt_end, self.response_end}
        names = sorted({str(added[i]) for i in self._forbidden if i in added and str(added[i])})
        self._special_text = re.compile("(?=" + "|".join(map(re.escape, names)) + ")") if names else None
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.response_end

    def _segments(self, name: str) -> tuple[str, str, str]:
        messages = [{"role": "user", "content": _PROMPT}, {"role": "assistant", "content": _RESPONSE}]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        except Exception as error:  # jinja raises anything the template's author chose
            raise NomadError(f"{name}: the chat template fails on a single-turn chat: {error}") from error
        if text.count(_PROMPT) != 1 or text.count(_RESPONSE) != 1 or text.index(_PROMPT) > text.index(_RESPONSE):
            raise NomadError(
                f"{name}: the chat template does not render a prompt and then a response, once each: {text[:200]!r}"
            )
        before, rest = text.split(_PROMPT)
        middle, after = rest.split(_RESPONSE)
        return before, middle, after

    def _scaffold(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def encode(self, text: str) -> list[int]:
        """Token ids of a content; special tokens in it are encoded as ordinary text."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """The same for many. Raises NomadError when a tokenizer makes a special token of a text whatever is done."""
        if not texts:
            return []
        encoded = self._tokenize(texts)
        for number, ids in enumerate(encoded):
            if not self._forbidden.isdisjoint(ids):
                encoded[number] = self._encode_apart(texts[number])
        return encoded

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def _encode_apart(self, text: str) -> list[int]:
        """Ids of a text that is cut inside every special token spelled in it.

        Needed where `split_special_tokens` does not reach: end-of-turn tokens that a model's author added without
        marking them as special, and Unigram vocabularies that hold them as pieces.
        """
        cuts = [match.start() + 1 for match in self._special_text.finditer(text)] if self._special_text else []
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        ids = [i for part in self._tokenize([piece for piece in pieces if piece]) for i in part]
        found = self._forbidden.intersection(ids)
        if found:
            raise NomadError(
                f"the tokenizer cannot write {self.decode(sorted(found))!r} as ordinary text (in {text[:200]!r}), so a row "
                "could end its turn early; mark it as special in the tokenizer, or leave the row out"
            )
        return ids

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def response_context(self, prompt_ids: list[int]) -> list[int]:
        """Everything a model is given before it writes the response."""
        return [*self.header, *prompt_ids, self.prompt_end, *self.middle]

    def prompt_context(self, examples: list[tuple[list[int], list[int]]]) -> list[int]:
        """What a model is given before it writes a prompt after examples of (prompt, response) ids.

        Raises NomadError when the template does not render such a chat.
        """
        scaffold = self._scaffolding_of_examples(len(examples))
        contents = [ids for example in examples for ids in example]
        return [*scaffold[0], *(i for ids, after in zip(contents, scaffold[1:], strict=True) for i in (*ids, *after))]

    def _scaffolding_of_examples(self, count: int) -> list[list[int]]:
        """The ids before, between and after the contents of `count` examples, up to the next prompt."""
        if count not in self._scaffoldings:
            marks = [f"TURN{number}SENTINEL" for number in range(2 * count + 1)]
            roles = ("user", "assistant")
            messages = [{"role": roles[number % 2], "content": mark} for number, mark in enumerate(marks)]
            try:
                rest = self.tokenizer.apply_chat_template(messages, tokenize=False)
            except Exception as error:  # jinja raises anything the template's author chose
                raise NomadError(f"{self.name}: the chat template fails on a chat of several turns: {error}") from error
            parts = []
            for mark in marks:
                before, found, rest = rest.partition(mark)
                if not found:
                    raise NomadError(
                        f"{self.name}: the chat template does not render every turn of a chat; shots need that"
                    )
                parts.append(self._scaffold(before))
            self._scaffoldings[count] = parts
        return self._scaffoldings[count]

    def chat(self, messages: list[dict]) -> list[int] | None:
        """What a model is given before it answers a chat of several turns: scaffolding as rendered, contents as text.

        None where the template does not render every content, each once and in order.
        """
        marks = [f"TURN{number}SENTINEL" for number in range(len(messages))]
        marked = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
        rest = self.tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True)
        ids: list[int] = []
        for message, mark in zip(messages, marks, strict=True):
            before, found, rest = rest.partition(mark)
            if not found:
                return None
            ids += [*self._scaffold(before), *self.encode(message["content"].strip())]
        return [*ids, *self._scaffold(rest)]

    def row(self, row_id: str, prompt: str, response: str, prompt_loss_weight: float) -> TrainingRow:
        """The row's ids and loss weights: w on the prompt, 1 on the response, 0 on the scaffolding."""
        return self.row_of_ids(row_id, self.encode(prompt), self.encode(response), prompt_loss_weight)

    def row_of_ids(self, row_id: str, prompt: list[int], response: list[int], prompt_loss_weight: float) -> TrainingRow:
        ids = [*self.response_context(prompt), *response, self.response_end]
        weights = (
            [0.0] * len(self.header)
            + [prompt_loss_weight] * (len(prompt) + 1)
            + [0.0] * len(self.middle)
            + [1.0] * (len(response) + 1)
        )
        if not self.header:
            weights[0] = 0.0  # nothing predicts the very first token of a sequence
        return TrainingRow(row_id, ids, weights)


def training_rows(
    turns: Turns, examples: list[tuple[str, str, str]], prompt_loss_weight: float, max_length: int
) -> tuple[list[TrainingRow], list[dict]]:
    """Rows for (id, prompt, response) triples, and those longer than `max_length` tokens as {id, tokens}.

    Raises NomadError when a row has no supervised token or none is short enough.
    """
    prompts = turns.encode_many([prompt for _, prompt, _ in examples])
    responses = turns.encode_many([response for _, _, response in examples])
    rows, too_long = [], []
    for (row_id, _, _), prompt, response in zip(examples, prompts, responses, strict=True):
        row = turns.row_of_ids(row_id, prompt, response, prompt_loss_weight)
        if row.supervised == 0:
            raise NomadError(f"row {row_id}: not a single token carries loss")
        if len(row.input_ids) > max_length:
            too_long.append({"id": row_id, "tokens": len(row.input_ids)})
        else:
            rows.append(row)
    if not rows:
        raise NomadError(f"none of {len(examples)} rows fits in max_length = {max_length} tokens; raise it")
    return rows, too_long
