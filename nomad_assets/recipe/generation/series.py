"""Several continuations of one context, of which only as many are sampled as are asked for.

`sample` asks `more` how many it should be: before a series begins, and whenever all that were begun have ended. So what is
sampled hangs on the texts alone, never on which of them an engine happened to finish first.

An engine with a method `sample` of its own reads each context once, whatever the number of its continuations, and puts the
next one where the last one ended. With any other engine it goes in rounds of `generate`, where requests with one context stand
together, so that an engine that caches prefixes finds them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Engine, Generation, Request

More = Callable[[int, Sequence[Generation]], int]
"""(number of the series, its continuations so far, in the order of its seeds) -> how many more of them."""


Name = tuple[int, int]
"""Of one continuation: the number of its series, and its place among the seeds."""


@dataclass(frozen=True)
class Series:
    """A context in token ids, and the seeds of its continuations in the order in which they are sampled."""

    context: list[int]
    seeds: list[int]


def every_one(series: Sequence[Series]) -> More:
    """Asks for all continuations at once."""
    return lambda number, made: len(series[number].seeds) - len(made)


def sample(
    engine: Engine,
    series: Sequence[Series],
    sampling: Sampling,
    stop_ids: set[int],
    more: More,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[list[Generation]]:
    """The continuations of each series, in the order of its seeds. `on_progress` gets the number of series that are done."""
    own = getattr(engine, "sample", None)
    if own is not None:
        return own(series, sampling, stop_ids, more, on_progress)
    running = Running(series, more)
    names = running.begin_all()
    # With all continuations in one round the engine itself knows how far it is.
    one_round = len(names) == sum(len(one.seeds) for one in series)
    while names:
        requests = [Request(series[number].context, series[number].seeds[place]) for number, place in names]
        tell = partial(_tell, on_progress, len(series) / len(names)) if one_round else _silent
        made = engine.generate(requests, sampling, stop_ids, tell)
        names = [
            following
            for name, generation in zip(names, made, strict=True)
            for following in running.ended(name, generation)
        ]
        if not one_round:
            on_progress(running.done)
    return running.results()


class Running:
    """What has been begun and what has ended of some series."""

    def __init__(self, series: Sequence[Series], more: More):
        self._more = more
        self._made: list[dict[int, Generation]] = [{} for _ in series]
        self._begun = [0] * len(series)
        self.done = 0
        """Series of which nothing more is wanted."""

    def begin_all(self) -> list[Name]:
        """The first rows of all series, those of one next to each other."""
        return [name for number in range(len(self._made)) for name in self._begin(number)]

    def ended(self, name: Name, generation: Generation) -> list[Name]:
        """Note what a row came to; the rows of its series that begin now."""
        number, place = name
        self._made[number][place] = generation
        return self._begin(number) if len(self._made[number]) == self._begun[number] else []

    def results(self) -> list[list[Generation]]:
        return [self._in_order(number) for number in range(len(self._made))]

    def _begin(self, number: int) -> list[Name]:
        first, count = self._begun[number], self._more(number, self._in_order(number))
        self._begun[number] += count
        self.done += not count
        return [(number, place) for place in range(first, first + count)]

    def _in_order(self, number: int) -> list[Generation]:
        return [self._made[number][place] for place in sorted(self._made[number])]


def _tell(on_progress: Callable[[int], None], series_per_row: float, rows: int) -> None:
    on_progress(int(rows * series_per_row))


def _silent(done: int) -> None:
    pass
