"""Prompt masking token by token: SmolLM2's ChatML by hand-written ids, other templates by their tokens."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomad_assets.errors import NomadError
from nomad_assets.recipe.models.base_models import CHATML
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import TrainingRow, Turns, training_rows

LLAMA3 = (
    "<|begin_of_text|>{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
LLAMA3_TOKENS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
WITH_SYSTEM = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}" + CHATML
CLOSERS = (
    "<|u|>{{ messages[0]['content'] }}<|/u|>{% for m in messages[1:] %}{{ m['content'] }}<|endoftext|>{% endfor %}"
)
BARE = "{{ messages[0]['content'] }}<|/u|>{% for m in messages[1:] %}{{ m['content'] }}<|endoftext|>{% endfor %}"


@pytest.fixture(scope="session")
def smollm2(smollm2_model: Path) -> Turns:
    return Turns(load_tokenizer(smollm2_model), "smollm2")


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> Turns:
    return Turns(load_tokenizer(tiny_model), "tiny")


@pytest.fixture
def with_template(tiny_model: Path):
    """Turns of the tiny tokenizer with another chat template and the special tokens it needs."""

    def with_template(template: str | None, tokens: tuple[str, ...] | list[str] = ()) -> Turns:
        tokenizer = load_tokenizer(tiny_model)
        tokenizer.add_special_tokens({"additional_special_tokens": [*tokens]})
        tokenizer.chat_template = template
        return Turns(tokenizer, "my-model")

    return with_template


# SmolLM2, by hand. 1 <|im_start|>, 2 <|im_end|>, 198 newline, 4093 "user", 520 9531 "ass" "istant",
# 26843 "Hi", 665 " there", 10539 "Yes".


def test_the_scaffolding_of_smollm2(smollm2):
    assert smollm2.header == [1, 4093, 198]
    assert smollm2.prompt_end == 2
    assert smollm2.middle == [198, 1, 520, 9531, 198]
    assert smollm2.response_end == 2
    assert smollm2.pad == 2


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_worked_example(smollm2, weight):
    w = weight
    row = smollm2.row("r", "Hi there", "Yes", weight)
    assert row == TrainingRow(
        "r",
        [1, 4093, 198, 26843, 665, 2, 198, 1, 520, 9531, 198, 10539, 2],
        [0, 0, 0, w, w, w, 0, 0, 0, 0, 0, 1, 1],
    )
    assert row.supervised == (2 if weight == 0 else 5)


def test_the_prompts_end_of_turn_is_learned_with_the_prompt(smollm2):
    row = smollm2.row("r", "Hi there", "Yes", 0.3)
    assert [
        weight for token, weight in zip(row.input_ids, row.loss_weights, strict=True) if token == smollm2.prompt_end
    ] == [0.3, 1.0]


def test_special_tokens_in_data_are_text(smollm2):
    row = smollm2.row("r", "a<|im_end|>b", "<|im_start|>user", 1.0)
    text = [81, 44, 108, 306, 79, 486, 108, 46, 82]
    start = [44, 108, 306, 79, 3738, 108, 46, 4093]
    assert row.input_ids == [1, 4093, 198, *text, 2, 198, 1, 520, 9531, 198, *start, 2]
    assert row.loss_weights == [0] * 3 + [1] * 10 + [0] * 5 + [1] * 9


def test_a_row_is_what_the_template_renders(smollm2):
    messages = [{"role": "user", "content": "What is 2 + 3?"}, {"role": "assistant", "content": "5"}]
    rendered = smollm2.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert [*smollm2.row("r", "What is 2 + 3?", "5", 1.0).input_ids, 198] == rendered


def test_a_response_is_asked_for_as_it_was_trained(smollm2):
    row = smollm2.row("r", "Hi there", "Yes", 1.0)
    context = smollm2.response_context(smollm2.encode("Hi there"))
    assert row.input_ids[: len(context)] == context
    messages = [{"role": "user", "content": "Hi there"}]
    assert context == smollm2.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )


# Other templates.


def test_llama3(with_template):
    turns = with_template(LLAMA3, LLAMA3_TOKENS)
    token = turns.tokenizer.convert_tokens_to_ids
    user, assistant, line = turns.encode("user"), turns.encode("assistant"), turns.encode("\n\n")
    assert turns.header == [
        token("<|begin_of_text|>"),
        token("<|start_header_id|>"),
        *user,
        token("<|end_header_id|>"),
        *line,
    ]
    assert turns.prompt_end == turns.response_end == token("<|eot_id|>")
    assert turns.middle == [token("<|start_header_id|>"), *assistant, token("<|end_header_id|>"), *line]
    prompt, response = turns.encode("What is 2 + 3?"), turns.encode("5 <|eot_id|> 6")
    row = turns.row("r", "What is 2 + 3?", "5 <|eot_id|> 6", 0.3)
    assert row.input_ids == [*turns.header, *prompt, token("<|eot_id|>"), *turns.middle, *response, token("<|eot_id|>")]
    assert row.loss_weights == [0.0] * len(turns.header) + [0.3] * (len(prompt) + 1) + [0.0] * len(turns.middle) + [
        1.0
    ] * (len(response) + 1)
    assert token("<|eot_id|>") not in response


def test_system_text_carries_no_loss(with_template):
    turns = with_template(WITH_SYSTEM)
    start, end = (turns.tokenizer.convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>"))
    line = turns.encode("\n")
    assert turns.header == [start, *turns.encode("system\nBe brief."), end, *line, start, *turns.encode("user\n")]
    row = turns.row("r", "Hi", "Yes", 1.0)
    supervised = [i for i, w in zip(row.input_ids, row.loss_weights, strict=True) if w > 0]
    assert supervised == [*turns.encode("Hi"), end, *turns.encode("Yes"), end]


def test_turns_that_close_with_different_tokens(with_template):
    turns = with_template(CLOSERS, ["<|u|>", "<|/u|>"])
    token = turns.tokenizer.convert_tokens_to_ids
    assert (turns.header, turns.middle) == ([token("<|u|>")], [])
    assert (turns.prompt_end, turns.response_end) == (token("<|/u|>"), token("<|endoftext|>"))
    assert turns.row("r", "Hi", "Yes", 0.5).loss_weights == [
        0.0,
        *[0.5] * (len(turns.encode("Hi")) + 1),
        *[1.0] * (len(turns.encode("Yes")) + 1),
    ]


def test_without_a_header_nothing_predicts_the_first_token(with_template):
    turns = with_template(BARE, ["<|/u|>"])
    assert turns.header == []
    assert turns.row("r", "Hi there", "Yes", 1.0).loss_weights[:3] == [0.0, 1.0, 1.0]


# Contents.


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.lists(st.sampled_from([*"aé\n 漢😀", "<|im_end|>", "<|im_start|>", "<|endoftext|>"])).map("".join)
    | st.text()
)
def test_no_text_makes_a_special_token_and_all_text_comes_back(tiny, text):
    ids = tiny.encode(text)
    assert not set(ids) & tiny.specials
    assert tiny.decode(ids) == text


def test_many_are_encoded_as_one(tiny):
    texts = ["Hi there", "", "a<|im_end|>b", "é"]
    assert tiny.encode_many(texts) == [tiny.encode(text) for text in texts]
    assert tiny.encode_many([]) == []


# Rows for training.


def test_training_rows_keep_their_order(tiny):
    rows, too_long = training_rows(tiny, [("a", "Hi", "Yes"), ("b", "Who?", "Me")], 0.3, 1000)
    assert rows == [tiny.row("a", "Hi", "Yes", 0.3), tiny.row("b", "Who?", "Me", 0.3)]
    assert too_long == []


def test_a_row_too_long_is_left_out_whole_and_reported(tiny):
    examples = [("short", "Hi", "Yes"), ("long", "Hi there, all of you", "Yes")]
    length = len(tiny.row("", "Hi there, all of you", "Yes", 0.0).input_ids)
    rows, too_long = training_rows(tiny, examples, 1.0, length)
    assert ([row.id for row in rows], too_long) == (["short", "long"], [])
    rows, too_long = training_rows(tiny, examples, 1.0, length - 1)
    assert ([row.id for row in rows], too_long) == (["short"], [{"id": "long", "tokens": length}])


def test_no_row_fits(tiny):
    with pytest.raises(NomadError, match=r"^none of 2 rows fits in max_length = 3 tokens; raise it$"):
        training_rows(tiny, [("a", "Hi", "Yes"), ("b", "Hi", "Yes")], 1.0, 3)


# Templates that cannot work.


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, 'the tokenizer has no chat template; set base_model.chat_template = "chatml" or a Jinja file'),
        ("", 'the tokenizer has no chat template; set base_model.chat_template = "chatml" or a Jinja file'),
        (
            "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
            "no end-of-turn token closes the prompt in the chat template (found '\\nass",
        ),
        (
            "{{ messages[0]['content'] }}<|im_end|>{% for m in messages[1:] %}{{ m['content'] }}\n{% endfor %}",
            "no end-of-turn token closes the response in the chat template (found '\\n')",
        ),
        (
            "{{ messages[0]['content'] }}<|im_end|>{% for m in messages[1:] %}{{ m['content'] }}{% endfor %}",
            "no end-of-turn token closes the response in the chat template (found '')",
        ),
        (
            "{% for m in messages[1:] %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}",
            "the chat template does not render a prompt and then a response, once each: '<|im_start|>",
        ),
        (
            "{% for m in messages %}{{ m['content'] }}<|im_end|>{{ m['content'] }}{% endfor %}",
            "the chat template does not render a prompt and then a response, once each: ",
        ),
        (
            "{% for m in messages[::-1] %}{{ m['content'] }}<|im_end|>{% endfor %}",
            "the chat template does not render a prompt and then a response, once each: ",
        ),
        (
            "{{ raise_exception('only for experts') }}",
            "the chat template fails on a single-turn chat: only for experts",
        ),
        ("{% for %}", "the chat template fails on a single-turn chat: "),
    ],
)
def test_templates_that_cannot_work(with_template, template, expected):
    with pytest.raises(NomadError, match=f"^my-model: {re.escape(expected)}"):
        with_template(template)
