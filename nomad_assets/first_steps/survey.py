"""A seed file seen with a profile's eyes, and what the profile's grid will take on this machine."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from rich.table import Table

from nomad_assets import plugins
from nomad_assets.cells import Cell
from nomad_assets.engine.listeners import Run
from nomad_assets.engine.plan import plan, serves
from nomad_assets.engine.runner import run
from nomad_assets.errors import NomadError, printable
from nomad_assets.first_steps.estimate import READ, Estimate, Speed, forecast, measure
from nomad_assets.first_steps.headroom_cost import headroom_seconds
from nomad_assets.grid import Grid
from nomad_assets.opening import open_grid
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.data.inspection import SHOWN, Inspection, inspect
from nomad_assets.recipe.data.sources import read_source
from nomad_assets.recipe.evaluation.benchmarks import question_table, scorer_of
from nomad_assets.recipe.models.loading import load_tokenizer, longest_row, quiet
from nomad_assets.recipe.models.turns import Turns, training_rows
from nomad_assets.steps.base import MODEL, base_model
from nomad_assets.steps.benchmarks import questions_of
from nomad_assets.steps.seeds import seed_examples
from nomad_assets.store.local import LocalStore

MANY_REPEATS = 0.1


@dataclass(frozen=True)
class Survey:
    source: str
    profile: str
    base_model: str
    found: Inspection
    speed: Speed | None
    estimates: list[Estimate]
    tasks: list[str]
    """Benchmarks that bring their own questions."""
    remarks: list[str]
    """Where the rows do not fit the profile, and what to change."""

    def record(self) -> dict:
        """As JSON. Times are seconds, sizes bytes."""
        return {
            "source": self.source, "profile": self.profile, "base_model": self.base_model, **self.found.record(),
            "speed": asdict(self.speed) if self.speed else None, "estimates": [asdict(line) for line in self.estimates],
            "remarks": self.remarks,
        }  # fmt: skip

    def words(self) -> Iterator[str | Table]:
        """What a person reads of it; rows and questions are shown with what a terminal could act on escaped."""
        found = self.found
        formats = ", ".join(f"{n:,} as {name}" for name, n in found.formats.items())
        yield f"{printable(self.source)}: {found.rows:,} rows; {formats} (seen with profile {self.profile})"
        left_out = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in found.left_out.items())
        yield f"usable as seeds: {found.usable:,}" + (f"; left out: {left_out}" if left_out else "")
        lengths = Table("tokens", "median", "95%", "longest", box=None, pad_edge=False)
        for name, part in (("prompt", found.prompt), ("response", found.response)):
            lengths.add_row(name, str(part.median), str(part.p95), str(part.longest))
        yield lengths
        yield "languages: " + ", ".join(f"{name} {share:.0%}" for name, share in list(found.languages.items())[:6])
        yield f"near repeats among the prompts: {len(found.near_repeats):,}"
        for row, twin, similarity in found.near_repeats[:SHOWN]:
            yield f"  {row} is like {twin} ({similarity:.2f})"
        yield f"rows that hold a benchmark question: {len(found.contaminated):,}"
        for row, question in found.contaminated[:SHOWN]:
            yield f"  {row}: {printable(question[:100])}"
        yield from (f"note: {remark}" for remark in self.remarks)
        if self.speed:
            yield from self._forecast(self.speed)

    def _forecast(self, speed: Speed) -> Iterator[str | Table]:
        yield (
            f"measured with {printable(self.base_model)}: {speed.trained_per_second:,.0f} tokens/s trained, "
            f"{speed.decoded_per_second:,.0f} tokens/s written"
        )
        table = Table("the whole grid", "times", "time", "disk", box=None, pad_edge=False)
        for line in self.estimates:
            table.add_row(line.asset, str(line.times), _time(line.seconds), _size(line.bytes))
        seconds, size = sum(line.seconds for line in self.estimates), sum(line.bytes for line in self.estimates)
        table.add_row("together", "", _time(seconds), _size(size))
        yield table
        if speed.peak_bytes:
            yield f"resident memory while training: {_size(speed.peak_bytes)}"
        yield "an estimate from seconds of measuring, on the machine as it was; teachers may write much longer rows"
        if self.tasks:
            yield f"not counted: scoring by {', '.join(self.tasks)}, whose questions are fetched only then"


def survey(profile: Profile, source: str, estimate: bool) -> Survey:
    """Inspect rows of any source a profile takes; with `estimate`, measure the machine with the profile's base model.

    Raises NomadError on rows or a model that cannot be read.
    """
    quiet()
    if plugins.is_plugin(source):
        rows = read_source(plugins.resolved(source, Path.cwd()))
    else:
        rows = read_source(source if source.startswith("hf://") else os.path.realpath(source))
    scorers = plugins.in_profile(profile)
    questions, counts = [], {}
    for name, benchmark in profile.benchmarks.items():
        if benchmark.source is not None:
            path, origin = profile.resolve(benchmark.source.path), benchmark.source
            read = read_source(path, origin.where, origin.limit, options=origin.options)
            scorer = scorer_of(benchmark.rule, scorers.get(f"benchmarks.{name}.rule"))
            table = question_table(name, scorer, read)
            questions += list(table.select("id", "question", "answers").iter_rows())
            counts[name] = table.height
    with _base_model(profile) as (base, seconds):
        turns = Turns(load_tokenizer(base), str(base))
        found = inspect(rows, questions, turns, profile.teacher.max_length, profile.curation.near_repeat)
        scaffolding, positions = len(turns.header) + len(turns.middle) + 2, longest_row(base)
        speed, lines = None, []
        if estimate and found.too_long < found.rows:
            examples = {row.id: (row.id, row.prompt, row.response) for row in rows.rows}
            speed = measure(profile, base, seconds, list(examples.values()))
            prompt, response = found.mean_tokens
            lines = forecast(profile, speed, scaffolding + prompt, response, counts)
    tasks = [benchmark.task for benchmark in profile.benchmarks.values() if benchmark.task]
    remarks = list(_remarks(profile, found, scaffolding, positions))
    return Survey(source, profile.name, profile.base_model.source, found, speed, lines, tasks, remarks)


def seconds_on_this_machine(profile: Profile) -> dict[str, float]:
    """Asset -> seconds that one of its cells takes at the mean, measured with the profile's own seeds.

    Assets that take seconds at most are left out. Raises NomadError on rows or a model that cannot be read, and when no row
    fits in `teacher.max_length`.
    """
    quiet()
    grid = Grid(profile)
    config = seed_examples.config.of(grid, Cell(), {})
    questions = questions_of(config.benchmarks)
    counts = dict(questions.group_by("benchmark").len().iter_rows())
    with _base_model(profile) as (base, seconds):
        turns = Turns(load_tokenizer(base), str(base))
        pool = [row for source in config.seeds for row in source.read({}).rows]
        rows = pool[:READ]
        examples = [(row.id, row.prompt, row.response) for row in rows]
        fitting = {
            row.id: len(row.input_ids) for row in training_rows(turns, examples, 1.0, profile.teacher.max_length)[0]
        }
        speed = measure(profile, base, seconds, examples)
        response = fmean(map(len, turns.encode_many([row.response for row in rows if row.id in fitting])))
        prompt = fmean(fitting.values()) - response
    lines = {line.asset: line.seconds / line.times for line in forecast(profile, speed, prompt, response, counts)}
    with contextlib.suppress(NomadError):  # a pool that is too small is said when it is asked for
        lines["headroom_scores"] = headroom_seconds(profile, speed, prompt, response, counts, len(pool))
    scores = lines.pop("scores")
    return {**lines, "base_scores": scores, "control_scores": scores, "student_scores": scores}


def _remarks(profile: Profile, found: Inspection, scaffolding: int, positions: int | None) -> Iterator[str]:
    if found.too_long:
        yield f"rows longer than teacher.max_length = {found.max_length} tokens, never trained on: {found.too_long:,}"
    largest = profile.grid.train_sizes[-1]
    if found.usable < largest:
        yield f"grid.train_sizes goes up to {largest:,}, and this file has {found.usable:,} usable rows"
    if found.too_long == found.rows:
        yield "no row can be trained on, and nothing was measured; raise teacher.max_length and student.max_length"
    settings = profile.synthesis
    for key, limit, lengths in (
        ("synthesis.prompt.max_new_tokens", settings.prompt.max_new_tokens, found.prompt),
        ("synthesis.response.max_new_tokens", settings.response.max_new_tokens, found.response),
    ):
        if lengths.longest >= limit:  # the token that ends a turn counts too
            yield f"{key} = {limit} ends what a teacher writes before the longest row's {lengths.longest:,} tokens"
    longest = settings.prompt.max_new_tokens + settings.response.max_new_tokens + scaffolding
    for what, tokens in (
        ("synthesis.prompt and synthesis.response", longest),
        ("teacher.max_length", found.max_length),
    ):
        if positions is not None and tokens > positions:
            yield f"{what} allow {tokens:,} tokens a row, and the base model takes {positions:,}; lower them"
    if len(found.near_repeats) > MANY_REPEATS * found.rows:
        yield (
            f"{len(found.near_repeats):,} prompts are near repeats by curation.near_repeat = {profile.curation.near_repeat:g}: "
            "of rows like these a corpus keeps few; raise it where their common words are an instruction"
        )


@contextlib.contextmanager
def _base_model(profile: Profile) -> Iterator[tuple[Path, float]]:
    """The folder of the profile's base model, the store's or one built for the moment, and the seconds it took."""
    grid, store = open_grid(profile)
    now, stored = plan(base_model, Cell(), grid, store), store.current(base_model.name, Cell())
    if stored is not None and serves(stored, now.wanted, now.withdrawals):
        with store.reading([stored]):
            yield stored / MODEL.name, stored.manifest.seconds
        return
    with tempfile.TemporaryDirectory() as folder:
        made = run(base_model, Cell(), grid, LocalStore(Path(folder)), [], Run(str(uuid.uuid4()), "inspect")).artifact
        yield made / MODEL.name, made.manifest.seconds


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _size(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
