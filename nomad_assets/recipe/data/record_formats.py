"""Records as users have them, and the row that each becomes.

Worked example, the GSM8K format: the record
    {"question": "Tom has 2 bags of 3.", "answer": "2*3 = <<2*3=6>>6\\n#### 6"}
becomes prompt "Tom has 2 bags of 3." and response "2*3 = 6\\n#### 6".
"""

import hashlib
import re
from dataclasses import dataclass

from nomad_assets.errors import NomadError

CALCULATOR = re.compile(r"<<[^<>]*>>")
MAX_ID = 200  # characters
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read. `answers` are the accepted short answers where the format has them."""

    source: str
    number: int
    """1-based place in its source."""
    given_id: str | None
    prompt: str
    response: str
    answers: tuple[str, ...] = ()
    cluster: str | None = None
    """What it shares with other rows, such as a template; no part of its id."""

    @property
    def id(self) -> str:
        """Content id: 16 hex digits of sha256 over prompt and response."""
        return hashlib.sha256(f"{self.prompt}\0{self.response}".encode()).hexdigest()[:16]


FORMATS = {
    "messages": ("messages",),
    "prompt + response": ("prompt", "response"),
    "instruction + output": ("instruction", "output"),
    "question + answers": ("question", "answers"),
    "question + answer": ("question", "answer"),
}
"""The fields that a record of each format has; the first that fits is taken."""


def format_of(place: str, record: dict) -> str:
    for name, fields in FORMATS.items():
        if all(key in record for key in fields):
            return name
    raise NomadError(
        f"{place}: no recognised format in fields {sorted(record)}; accepted: prompt + response, "
        "instruction [+ input] + output, question + answer, question + answers, messages"
    )


def normalise(format_name: str, source: str, number: int, place: str, record: dict) -> Row | None:
    """A record of a recognised format as a Row of a source, or None for a chat with several turns."""
    answers: tuple[str, ...] = ()
    if format_name == "messages":
        turns = _single_turn(record["messages"])
        if turns is None:
            return None
        prompt, response = turns
    elif format_name == "prompt + response":
        prompt, response = record["prompt"], record["response"]
    elif format_name == "instruction + output":
        extra = record.get("input")
        prompt, response = record["instruction"], record["output"]
        if extra is not None and _text(place, "input", extra):
            prompt = f"{_text(place, 'instruction', prompt)}\n\n{extra}"
    elif format_name == "question + answers":
        prompt, answers = record["question"], _answers(place, record["answers"])
        response = answers[0] if answers else None
    else:
        prompt, response = record["question"], record["answer"]
        # TriviaQA's own rows keep the accepted answers inside `answer`.
        if isinstance(response, dict):
            response = response.get("value")
            answers = _answers(place, [response, *_answers(place, record["answer"].get("aliases"))])
        elif isinstance(response, str):
            response = CALCULATOR.sub("", response)
    prompt, response = _content(place, "prompt", prompt), _content(place, "response", response)
    return Row(source, number, _given_id(place, record.get("id")), prompt, response, answers)


def _given_id(place: str, value: object) -> str | None:
    """The id a row brings: text or a whole number. None where it has none; CSV can only say so by leaving it empty."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NomadError(f"{place}: the id is {type(value).__name__}, expected text or a whole number")
    if len(str(value)) > MAX_ID:
        raise NomadError(f"{place}: the id has {len(str(value))} characters; use at most {MAX_ID}")
    return _text(place, "id", str(value))


def _answers(place: str, value: object) -> tuple[str, ...]:
    """Accepted answers, each once; empty ones and nulls go."""
    values = [value] if isinstance(value, str) or value is None else value
    if not isinstance(values, list):
        raise NomadError(f"{place}: the answers are {type(value).__name__}, expected a list of texts")
    return tuple(dict.fromkeys(filter(None, (_text(place, "answer", v) for v in values if v is not None))))


def _single_turn(messages: object) -> tuple[object, object] | None:
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        return None
    # A system message is scaffolding that the profile's chat template sets, so a chat that brings its own is left out.
    if [m.get("role") for m in messages] != ["user", "assistant"]:
        return None
    return messages[0].get("content"), messages[1].get("content")


def _text(place: str, what: str, value: object) -> str:
    """The value with plain line ends and without white space around it. Raises NomadError when it is not text."""
    if not isinstance(value, str):
        raise NomadError(f"{place}: the {what} is {type(value).__name__}, expected text")
    if _SURROGATE.search(value):
        raise NomadError(f"{place}: the {what} holds half of a surrogate pair, which is no character; write it whole")
    if "\0" in value:
        raise NomadError(
            f"{place}: the {what} holds a NUL character; was the file saved in another encoding than UTF-8?"
        )
    return value.replace("\r\n", "\n").strip()


def _content(place: str, what: str, value: object) -> str:
    text = _text(place, what, value)
    if not text:
        raise NomadError(f"{place}: the {what} is empty; every row needs a prompt and a response")
    return text
