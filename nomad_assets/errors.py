"""The one error that bad data or bad settings end in."""


class NomadError(Exception):
    """A fault of the user's input: settings, files, models or what a stage made of them.

    The message names the file, key or cell and says what would be right. `cases` are failing rows (at most 20)
    and `counts` the number of failures per rule, shown as tables in the Dagster UI.
    """

    def __init__(self, message: str, cases: list[dict] | None = None, counts: dict[str, int] | None = None):
        super().__init__(message)
        self.cases = cases or []
        self.counts = counts or {}
