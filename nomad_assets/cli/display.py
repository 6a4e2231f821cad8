"""What a run shows: on a terminal lines with two bars under them, the step at work and the whole grid; elsewhere lines."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINE_EVERY_SECONDS = 10.0  # where there is no terminal


class Display:
    """Open it as a context; nothing is shown any more once it is closed."""

    def __init__(self, console: Console):
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description:<40}"), BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.fields[text]}"),
            console=console, transient=True,
        )  # fmt: skip
        self.step: TaskID | None = None
        self.grid: TaskID | None = None
        self.closed = False
        self._name, self._grid_text, self._printed = "", "", time.monotonic()

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self.bars.stop()

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show what is being done before there is any step: a line where no bar can be shown."""
        if self.console.is_terminal:
            self.begin(what)
        else:
            self.say(what)
        try:
            yield
        finally:
            self.end()

    def say(self, text: str) -> None:
        if not self.closed:
            self.bars.console.print(escape(text), highlight=False, soft_wrap=True)

    def begin(self, name: str) -> None:
        """A step is at work, and has not said yet how far it is."""
        self.end()
        self._name, self._printed = name, time.monotonic()
        self.step = self.bars.add_task(escape(name), total=None, text="")

    def update(self, share: float | None, text: str) -> None:
        """The step's share that is done (None: not known), and what else it tells."""
        if self.step is None or self.closed:
            return
        done = f"{share:.0%}" if share is not None else ""
        words = ", ".join(part for part in (done, text) if part)
        self.bars.update(self.step, total=None if share is None else 1.0, completed=share or 0.0, text=escape(words))
        if not self.console.is_terminal and time.monotonic() - self._printed > LINE_EVERY_SECONDS:
            self._printed = time.monotonic()
            self.say(f"  {self._name}: {words}" + (f"; grid: {self._grid_text}" if self._grid_text else ""))

    def end(self) -> None:
        if self.step is not None:
            self.bars.remove_task(self.step)
            self.step = None

    def whole(self, done: float, total: int, text: str) -> None:
        """How far the grid is: steps done, the one at work by its share, of all."""
        self._grid_text = text
        if self.grid is None:
            self.grid = self.bars.add_task("grid", total=total, text="")
        self.bars.update(self.grid, total=total, completed=done, text=escape(text))
