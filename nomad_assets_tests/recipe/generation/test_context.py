"""What a teacher is given before it writes: the bare header, or seed examples drawn for the attempt."""

from pathlib import Path

import pytest

from nomad_assets.errors import NomadError
from nomad_assets.recipe.generation.context import Context
from nomad_assets.recipe.models.loading import load_tokenizer
from nomad_assets.recipe.models.turns import Turns

EXAMPLES = [(f"Where is place {n}?", f"In country {n}.") for n in range(6)]


@pytest.fixture
def turns(tiny_model: Path) -> Turns:
    return Turns(load_tokenizer(tiny_model), "tiny")


def test_without_shots_a_teacher_is_given_the_bare_header(turns: Turns) -> None:
    context = Context(turns, [], 0, seed=1)
    assert context.of(0) == context.of(7) == turns.header
    assert context.longest == len(turns.header)


def test_shots_are_whole_chats_before_the_next_header(turns: Turns) -> None:
    context = Context(turns, EXAMPLES[:1], 1, seed=1)
    prompt, response = EXAMPLES[0]
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    text = turns.tokenizer.apply_chat_template([*messages, {"role": "user", "content": "NEXT"}], tokenize=False)
    assert turns.decode(context.of(0)) == text.partition("NEXT")[0]


def test_each_attempt_draws_its_own_examples_and_the_same_again(turns: Turns) -> None:
    context = Context(turns, EXAMPLES, 2, seed=1)
    drawn = [tuple(context.of(attempt)) for attempt in range(12)]
    assert len(set(drawn)) > 6
    assert drawn == [tuple(Context(turns, EXAMPLES, 2, seed=1).of(attempt)) for attempt in range(12)]
    assert drawn != [tuple(Context(turns, EXAMPLES, 2, seed=2).of(attempt)) for attempt in range(12)]
    assert max(map(len, drawn)) <= context.longest


def test_an_example_cannot_open_a_turn(turns: Turns) -> None:
    """A special token that is spelled in a seed example is text in the context."""
    spelled = turns.tokenizer.decode([turns.prompt_end])
    ids = Context(turns, [(f"Say {spelled}", "No")], 1, seed=1).of(0)
    plain = Context(turns, [("Say it", "No")], 1, seed=1).of(0)
    assert ids.count(turns.prompt_end) == plain.count(turns.prompt_end)


def test_a_context_that_leaves_no_room_is_refused(turns: Turns) -> None:
    context = Context(turns, EXAMPLES, 6, seed=1)
    context.check_fits(10, None)
    context.check_fits(10, context.longest + 10)
    with pytest.raises(NomadError, match=r"^shots = 6: the longest examples take \d+ tokens.* Use fewer shots"):
        context.check_fits(10, context.longest + 9)


def test_a_template_without_several_turns_is_refused(turns: Turns) -> None:
    turns.tokenizer.chat_template = "{{ messages[0]['content'] }}<|im_end|>{{ messages[1]['content'] }}<|im_end|>"
    with pytest.raises(NomadError, match="does not render every turn of a chat; shots need that"):
        Context(Turns(turns.tokenizer, "own"), EXAMPLES, 2, seed=1).of(0)
