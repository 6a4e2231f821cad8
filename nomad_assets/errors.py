"""The one error that bad data or bad settings end in, and how a value that it echoes is shown."""

import reprlib

MAX_LINE = 2000  # characters
MAX_LINES = 40
MAX_CASE = 500  # characters of one value of a failing row


class NomadError(Exception):
    """A fault of the user's input: settings, files, models or what a stage made of them.

    The message names the file, key or cell and says what would be right. `cases` are failing rows (at most 20)
    and `counts` the number of failures per rule, shown as tables in the Dagster UI.

    Messages and cases echo data, and end up in terminals and event logs: they are cut to a bounded length here, and
    what a terminal could act on is escaped.
    """

    def __init__(self, message: str, cases: list[dict] | None = None, counts: dict[str, int] | None = None):
        lines = message.split("\n")
        if len(lines) > MAX_LINES:
            left_out = len(lines) - MAX_LINES + 1
            lines = [*lines[: MAX_LINES // 2], f"[{left_out} lines left out]", *lines[left_out + MAX_LINES // 2 :]]
        super().__init__("\n".join(printable(cut(line, MAX_LINE)) for line in lines))
        self.cases = [
            {key: printable(cut(value, MAX_CASE)) if isinstance(value, str) else value for key, value in case.items()}
            for case in cases or []
        ]
        self.counts = counts or {}

    def locate(self, place: str) -> None:
        """Have the message begin with the place, unless it names it already."""
        if place not in str(self):
            self.args = (f"{place}: {self}",)


class NotMadeError(NomadError):
    """An artifact that is needed has not been made yet."""

    def __init__(self, asset: str, cell: str, store: str, remedy: str = "materialise it first"):
        super().__init__(f"{asset} [{cell}] has not been materialised in {store}; {remedy}")
        self.asset, self.cell, self.store = asset, cell, store


def cut(text: str, limit: int) -> str:
    """The text, or its start and end around the number of characters left out between them."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail]}[{len(text) - limit} characters left out]{text[-tail:]}"


def printable(text: str) -> str:
    """The text with control characters, direction overrides and half surrogate pairs as escapes (`\\x1b`, `\\u202e`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist = 4, 8, 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


def shown(value: object) -> str:
    """`repr` that is short for any value: long texts and lists are cut in the middle, deep ones at the fourth level."""
    return _SHORT.repr(value)
