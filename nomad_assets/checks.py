"""What must hold of stored artifacts: one function a check, each on what lies in the store and nothing else.

The same functions run as Dagster asset checks, in the `checks` job, and behind `nomad-assets check`. A check of severity
ERROR says that something must not be used; WARN that somebody should look.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

import polars as pl

from nomad_assets import schemas
from nomad_assets.cells import Cell
from nomad_assets.errors import NomadError
from nomad_assets.profile.grid import Grid
from nomad_assets.profile.sections import Profile
from nomad_assets.recipe.curation.contamination import ContaminationIndex, folded
from nomad_assets.recipe.evaluation.benchmarks import is_share, primary
from nomad_assets.recipe.models.loading import is_pickled
from nomad_assets.steps import MODELS, SCORES, STEPS
from nomad_assets.storage import MANIFEST, Artifact, Store, file_digest

MAX_ROWS = 20
LINEAGE = "lineage_db"
MIN_STEPS = 4  # of a training run whose loss tells anything
Severity = Literal["ERROR", "WARN"]


@dataclass(frozen=True)
class Finding:
    """What a check found: a sentence, numbers for the UI to plot, and the offending rows (at most 20 are shown)."""

    passed: bool
    text: str
    numbers: dict[str, float] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Stored:
    """What a check looks at: one published artifact in its store."""

    profile: Profile
    grid: Grid
    store: Store
    name: str
    cell: Cell
    artifact: Artifact | None
    """None for lineage_db, which is no artifact of the store."""

    def read(self, table: str) -> pl.DataFrame:
        return pl.read_parquet(self.artifact / table)

    def parent(self, asset: str) -> Artifact | None:
        """The artifact this one was made from, if it is still stored."""
        for place, artifact_id in self.artifact.manifest.parents.items():
            name, _, label = place.partition("/")
            if name == asset:
                versions = self.store.versions(asset, Cell.of_label(label))
                return next((a for a in versions if a.manifest.artifact_id == artifact_id), None)
        return None

    def questions(self) -> pl.DataFrame | None:
        """The current local questions, or None while there are none."""
        found = self.store.current("benchmark_questions", Cell())
        tables = [pl.read_parquet(path) for path in sorted(found.path.glob("questions/*.parquet"))] if found else []
        return pl.concat(tables) if tables else None


@dataclass(frozen=True)
class Check:
    """A named assertion about assets; its function's docstring is its description."""

    name: str
    assets: tuple[str, ...]
    severity: Severity
    function: Callable[[Stored], Finding]

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""


CHECKS: list[Check] = []


def _check(*assets: str, severity: Severity = "ERROR") -> Callable:
    def register(function: Callable[[Stored], Finding]) -> Callable[[Stored], Finding]:
        CHECKS.append(Check(function.__name__, assets, severity, function))
        return function

    return register


@_check(*schemas.STORED)
def stored_tables_keep_their_contract(stored: Stored) -> Finding:
    """Every stored table still conforms to its schema: columns, types and values."""
    rows: list[dict] = []
    checked = 0
    for pattern, schema in schemas.STORED[stored.name].items():
        paths = sorted(stored.artifact.path.glob(pattern))
        if not paths and "*" not in pattern:
            rows.append({"table": pattern, "problem": "missing"})
        for path in paths:
            checked += 1
            try:
                schemas.validate(pl.read_parquet(path), schema, path.name)
            except NomadError as error:
                cases = error.cases or [{}]
                rows += [{"table": path.name, "problem": str(error), **case} for case in cases]
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                rows.append({"table": path.name, "problem": f"not readable: {error}"})
    text = rows[0]["problem"] if rows else f"{checked} tables conform"
    return Finding(not rows, text, {"tables": checked}, rows)


@_check(*STEPS)
def stored_files_match_their_manifest(stored: Stored) -> Finding:
    """Every file is there with the bytes and the sha256 of its manifest, none is added, and none is a pickle."""
    folder, listed = stored.artifact.path, stored.artifact.manifest.files
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    rows = [{"file": name, "problem": "missing"} for name in sorted(set(listed) - present)]
    rows += [{"file": name, "problem": "not in the manifest"} for name in sorted(present - set(listed))]
    rows += [{"file": n, "problem": "a pickle"} for n in sorted(present) if is_pickled(PurePosixPath(n).name)]
    for name in sorted(present & set(listed)):
        if file_digest(folder / name) != listed[name]["sha256"]:
            rows.append({"file": name, "problem": "its content has changed since it was published"})
    text = f"{rows[0]['file']}: {rows[0]['problem']}" if rows else f"{len(listed)} files match"
    return Finding(not rows, text, {"files": len(listed)}, rows)


@_check("seed_subset")
def subset_has_its_size_and_nests(stored: Stored) -> Finding:
    """The subset has as many rows as its partition says, is the head of its pool, and the next smaller is its head."""
    size = stored.cell.train_size
    ids = stored.read("seeds.parquet")["id"].to_list()
    rows = []
    if len(ids) != size:
        rows.append({"problem": f"{len(ids)} rows instead of {size}"})
    pool = stored.parent("seed_examples")
    if pool is not None and pl.read_parquet(pool / "seeds.parquet")["id"].to_list()[: len(ids)] != ids:
        rows.append({"problem": f"not the head of {pool.manifest.artifact_id}"})
    smaller = [n for n in stored.grid.train_sizes if n < size]
    below = stored.store.current("seed_subset", Cell(smaller[-1])) if smaller else None
    if below is not None and pl.read_parquet(below / "seeds.parquet")["id"].to_list() != ids[: smaller[-1]]:
        rows.append({"problem": f"seed_subset [{smaller[-1]}] is not its head; run the smaller size again"})
    return Finding(
        not rows, rows[0]["problem"] if rows else f"{len(ids)} rows, nested", {"subset_rows": len(ids)}, rows
    )


@_check(*MODELS)
def every_row_has_a_supervised_token(stored: Stored) -> Finding:
    """No row that the model was trained on is without loss."""
    table = stored.read("rows.parquet")
    without = table.filter(pl.col("used") & (pl.col("supervised_tokens") < 1))
    used = table.filter("used").height
    text = f"{without.height} of {used} rows carry no loss" if without.height else f"{used} rows, all with loss"
    return Finding(used > 0 and without.height == 0, text, {"rows_used": used}, without.to_dicts())


@_check("teacher_model")
def teacher_loss_fell(stored: Stored) -> Finding:
    """The mean loss of the last quarter of the steps is below that of the first quarter; under 4 steps nothing is said."""
    losses = stored.read("curve.parquet").sort("step")["loss"].to_list()
    if len(losses) < MIN_STEPS:
        return Finding(True, f"{len(losses)} optimizer steps are too few to tell")
    quarter = max(1, len(losses) // 4)
    first, last = sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
    text = f"from {first:.3f} to {last:.3f} nats in {len(losses)} steps"
    return Finding(last < first, text, {"loss_first_quarter": first, "loss_last_quarter": last})


@_check("synthetic_corpus", severity="WARN")
def teacher_ends_its_prompts(stored: Stored) -> Finding:
    """The share of attempts whose prompt the teacher ended by itself is at least checks.min_prompt_completion."""
    attempts = stored.read("corpus.parquet").unique("attempt", keep="first")
    floor = stored.profile.checks.min_prompt_completion
    rate = attempts.filter(pl.col("prompt_end") == "completed").height / max(attempts.height, 1)
    text = f"{rate:.1%} of {attempts.height} prompts were ended; the floor is {floor:.1%}"
    return Finding(rate >= floor, text, {"prompt_completion_rate": rate})


@_check("curated_corpus")
def no_kept_row_holds_a_benchmark_question(stored: Stored) -> Finding:
    """No kept row contains a question of the current benchmarks, by the rule of recipe/contamination.py."""
    questions = stored.questions()
    if questions is None:
        return Finding(True, "no local benchmark questions to compare with")
    index = ContaminationIndex(list(questions.select("id", "question", "answers").iter_rows()))
    kept = stored.read("curated.parquet").filter(verdict="kept")
    found = [(row, index.find(row["prompt"], row["response"])) for row in kept.iter_rows(named=True)]
    rows = [
        {
            "id": row["id"],
            "prompt": row["prompt"],
            "question_id": o.question_id,
            "question": o.question,
            "share": o.share,
        }
        for row, o in found
        if o is not None
    ]
    text = f"{len(rows)} of {kept.height} kept rows hold a benchmark question"
    return Finding(not rows, text, {"contaminated_kept_rows": len(rows)}, rows)


@_check("curated_corpus", severity="WARN")
def few_rows_copy_seeds(stored: Stored) -> Finding:
    """The share of completed rows that repeat a seed row of the teacher is at most checks.max_seed_copies.

    Whatever they were dropped for: the second copy of a seed row is a repeat of the first.
    """
    done = stored.read("curated.parquet").filter(response_end="completed")
    first = pl.col("reason").is_in(["seed_copy", "near_seed_copy"])
    again = pl.col("reason").is_in(["exact_repeat", "near_repeat"]) & pl.col("evidence").is_in(
        done.filter(first)["id"].implode()
    )
    subset = stored.parent("seed_subset")
    own = {folded(prompt) for prompt in pl.read_parquet(subset / "seeds.parquet")["prompt"]} if subset else set()
    verbatim = pl.Series([folded(prompt) in own for prompt in done["prompt"]], dtype=pl.Boolean)
    copies = done.filter(first | again | verbatim)
    limit = stored.profile.checks.max_seed_copies
    share = copies.height / max(done.height, 1)
    text = f"{share:.1%} of {done.height} completed rows copy a seed row; the limit is {limit:.1%}"
    rows = copies.select("id", "prompt", "evidence", "evidence_similarity").to_dicts()
    return Finding(share <= limit, text, {"seed_copy_share": share}, rows)


@_check("curated_corpus", severity="WARN")
def corpus_is_filled_to_its_target(stored: Stored) -> Finding:
    """As many rows were kept as curation.keep asks for."""
    kept = stored.read("curated.parquet").filter(verdict="kept").height
    wanted = stored.profile.curation.keep
    return Finding(kept >= wanted, f"{kept} of {wanted} rows were kept", {"kept_rows": kept})


@_check(*SCORES)
def every_question_is_scored_once(stored: Stored) -> Finding:
    """Each question has one value per metric, none is missing, and shares lie in [0, 1]."""
    results, responses = stored.read("results.parquet"), stored.read("responses.parquet")
    outside = is_share(pl.col("metric")) & ~pl.col("value").is_between(0, 1)
    rows = [{**row, "problem": "outside [0, 1]"} for row in results.filter(outside).to_dicts()]
    for table, keys in ((results, ["benchmark", "question_id", "metric"]), (responses, ["benchmark", "question_id"])):
        twice = table.group_by(keys).len().filter(pl.col("len") > 1)
        rows += [{**row, "problem": f"answered {row['len']} times"} for row in twice.sort(keys).to_dicts()]
    questions = stored.questions()
    if questions is not None:
        keys = ["benchmark", "question_id"]
        wanted = questions.select("benchmark", pl.col("id").alias("question_id"))
        local = results.filter(pl.col("benchmark").is_in(wanted["benchmark"].unique().implode()))
        metrics = local.select("benchmark", "metric").unique()
        missing = wanted.join(metrics, on="benchmark").join(local, on=[*keys, "metric"], how="anti")
        rows += [{**row, "problem": "not scored"} for row in missing.sort(missing.columns).to_dicts()]
        unscored = wanted.join(responses, on=keys, how="anti")
        rows += [{**row, "problem": "not answered"} for row in unscored.sort(keys).to_dicts()]
        unknown = local.select(keys).unique().join(wanted, on=keys, how="anti")
        rows += [{**row, "problem": "not a question of the benchmark"} for row in unknown.sort(keys).to_dicts()]
    asked = responses.height
    text = f"{rows[0]['question_id']}: {rows[0]['problem']}" if rows else f"{asked} questions, each once"
    return Finding(not rows, text, {"questions": asked}, rows)


@_check("student_scores", severity="WARN")
def student_is_not_worse_than_the_base_model(stored: Stored) -> Finding:
    """The student's exact match, averaged over benchmarks, is at least the untouched base model's.

    A task of lm-evaluation-harness without that metric counts by the first of its metrics, as in the report.
    """
    from nomad_assets.recipe.evaluation.statistics import stratified_bootstrap

    base = stored.store.current("base_scores", Cell())
    if base is None:
        return Finding(True, "base_scores has not been materialised; nothing to compare with")
    keys = ["benchmark", "question_id", "metric"]
    joined = stored.read("results.parquet").join(pl.read_parquet(base / "results.parquet"), on=keys, suffix="_base")
    groups = []
    for _, table in joined.group_by("benchmark", maintain_order=True):
        metrics = table["metric"].unique(maintain_order=True).to_list()
        chosen = table.filter(metric=primary(metrics))
        if chosen.select(is_share(pl.col("metric")).all()).item():
            groups.append(chosen["value"].to_numpy() - chosen["value_base"].to_numpy())
    if not groups:
        return Finding(True, "no benchmark has a metric that is a share, so there is nothing to compare")
    found = stratified_bootstrap(groups, resamples=stored.profile.evaluation.bootstrap, seed=stored.profile.seed)
    text = f"{100 * found.mean:+.1f} points against the base model (95% interval {100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return Finding(found.mean >= 0, text, {"points_over_base": 100 * found.mean})


@_check(LINEAGE)
def every_parent_is_known(stored: Stored) -> Finding:
    """Lineage is complete: every parent of every artifact, pruned ones included, has its manifest in the store."""
    from nomad_assets.lineage.sync import reading

    with reading(stored.store) as connection:
        rows = connection.execute("SELECT child_id, parent_id FROM missing_parents ORDER BY ALL").fetchall()
        artifacts = connection.execute("SELECT count(*) FROM artifacts").fetchall()[0][0]
    text = (
        f"{rows[0][0]} was made from {rows[0][1]}, which is not here"
        if rows
        else f"{artifacts} artifacts, every parent known"
    )
    return Finding(not rows, text, {"artifacts": artifacts}, [{"artifact": c, "missing_parent": p} for c, p in rows])
