"""What each key of a profile makes again: a table written by hand against the fingerprints.

An asset stands here where its own fingerprint changes while its parents are what they were. What lies behind it is made again
when its content comes out differently.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.fingerprint import drift, fingerprint
from nomad_assets.engine.plan import plan, serves
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.steps import GRAPH
from nomad_assets.store.local import LocalStore
from nomad_assets_tests.profile_keys import changed, keys
from nomad_assets_tests.smoke_grid import ROOT, made, write_profile

# The smoke profile with everything that it leaves out, so that every key can be given another value.
PLUGINS = """
def rows(**options):
    yield {"prompt": "Who?", "response": "Me", "question": "Who?", "answers": ["Me"]}
    yield {"prompt": "Where?", "response": "Me", "question": "Where?", "answers": ["Here"]}


def short(row, **options):
    return True
"""
SOURCE = (
    '{ path = "python:mine.py:rows", options = { a = 1 }, where = { response = ["Me"] }, limit = 9, license = "mit" }'
)
ADDED = {
    "target": "target = 100",  # so that every band holds what is to be kept
    "max_attempts": "max_attempts = 300",
    "sources": f"sources = [\n  {SOURCE},",
    "dtype": 'dtype = "float32"\nchat_template = "chatml"\nlicense = "mit"',
    "answerer": 'answerer = "tiny-random"\nanswerer_chat_template = "chatml"',
    "keep": 'keep = 8\nfilters = [{ use = "python:mine.py:short", name = "a", options = { a = 1 } }]\n'
    'verifiers = [{ use = "python:mine.py:short", name = "b", options = { a = 1 }, scorer = "gsm8k" }]',
}
BENCHMARKS = f"""
[benchmarks.local]
cluster = "question"
source = {SOURCE}

[benchmarks.harness]
task = "gsm8k"
"""

VARIANTS = ("grid.selections", "controls")
NONE: set[str] = set()
HEADROOM, HEADROOM_PAGE = {"headroom_scores"}, {"headroom_report"}
SCORES = {"student_scores", "control_scores", "base_scores"}
POOL = {"seed_examples", "base_model"}  # the tiny model's tokenizer reads the seeds
QUESTIONS = {"seed_examples", "benchmark_questions"}
STUDENTS = {"student_model", "control_model"}
TRAINED_ALIKE = STUDENTS | HEADROOM
CURATED, REPORT = {"curated_corpus"}, {"recipe_report"}
SEEDED = {
    "seed_examples",
    "base_model",
    "teacher_model",
    "synthetic_corpus",
    "corpus_profile",
    *STUDENTS,
    *SCORES,
    *REPORT,
    *HEADROOM,
}


def training(section: str, read_by: set[str]) -> dict[str, tuple[object, set[str]]]:
    values = {
        "epochs": 9.0, "min_steps": 9, "learning_rate": 0.5, "schedule": "constant", "warmup": 0.5, "weight_decay": 0.5,
        "max_grad_norm": 9.0, "batch_size": 9, "gradient_accumulation": 9, "tokens_per_pass": 9, "max_length": 99,
        "precision": "bf16", "length_grouped": True, "gradient_checkpointing": True, "processes": 2, "steps": 9, "tokens": 999,
    }  # fmt: skip
    return {
        **{f"{section}.{key}": (value, read_by) for key, value in values.items()},
        f"{section}.checkpoint_minutes": (1.0, NONE),
        f"{section}.fsdp": (True, NONE),
    }


def source(place: str, read_by: set[str]) -> dict[str, tuple[object, set[str]]]:
    return {
        f"{place}.path": ("python:mine.py:short", read_by),
        f"{place}.options": ({"a": 2}, read_by),
        f"{place}.where": ({"response": ["You"]}, read_by),
        f"{place}.limit": (8, read_by),
        f"{place}.license": ("cc0-1.0", NONE),
    }


def sampling(place: str) -> dict[str, tuple[object, set[str]]]:
    values = {"temperature": 0.5, "top_p": 0.5, "max_new_tokens": 9}
    return {f"{place}.{key}": (value, {"synthetic_corpus"}) for key, value in values.items()}


def synthesis(place: str) -> dict[str, tuple[object, set[str]]]:
    values = {
        "engine": "transformers", "target": 11, "max_attempts": 299, "shard_size": 17, "precision": "bf16",
        "responses_per_prompt": 2, "stop_at_agreement": 0.0, "stop_at_right": "b", "answerer_chat_template": "chat.jinja",
    }  # fmt: skip
    return {
        **{f"{place}.{key}": (value, {"synthetic_corpus"}) for key, value in values.items()},
        f"{place}.answerer": ("smollm2-135m", {"synthetic_corpus", *REPORT}),
        **sampling(f"{place}.prompt"),
        **sampling(f"{place}.response"),
        f"{place}.batch_size": (9, NONE),
    }


def rules(place: str) -> dict[str, tuple[object, set[str]]]:
    values = {"use": "python:mine.py:rows", "name": "c", "options": {"a": 2}}
    return {**{f"{place}.{key}": (value, CURATED) for key, value in values.items()}, f"{place}.seconds": (9.0, NONE)}


# key: (another value, the assets whose own fingerprint it changes)
KEYS: dict[str, tuple[object, set[str]]] = {
    "name": ("other", REPORT | HEADROOM_PAGE),
    "seed": (8, SEEDED),
    **source("seeds.sources.*", POOL),
    "benchmarks.*.task": ("triviaqa", SCORES | REPORT),
    "benchmarks.*.rule": ("gsm8k", QUESTIONS | SCORES | REPORT | HEADROOM),
    "benchmarks.*.max_new_tokens": (9, SCORES | HEADROOM),
    "benchmarks.*.cluster": ("response", {"benchmark_questions"}),
    "benchmarks.*.dev": (0.5, {"benchmark_questions", *REPORT}),
    **source("benchmarks.*.source", QUESTIONS),
    "base_model.source": ("smollm2-135m", {"base_model", *REPORT}),
    "base_model.chat_template": ("chat.jinja", {"base_model"}),
    "base_model.dtype": ("bfloat16", {"base_model", "teacher_model", "synthetic_corpus", *TRAINED_ALIKE}),  # the answerer's
    "base_model.license": ("cc0-1.0", NONE),
    "grid.train_sizes": ([8, 16, 32], REPORT),
    "grid.prompt_loss": ({"masked": 0.0, "unmasked": 0.5}, {"teacher_model", *REPORT}),
    "grid.replicates": (2, REPORT),
    "grid.arms.*.prompt_loss": (0.5, {"teacher_model", *REPORT}),
    "grid.arms.*.shots": (3, {"synthetic_corpus"}),
    **training("grid.arms.*.teacher", {"teacher_model"}),
    **synthesis("grid.arms.*.synthesis"),
    "grid.arms.*.synthesis.stop_at_agreement": (None, {"synthetic_corpus"}),
    "grid.arms.*.synthesis.stop_at_right": (None, {"synthetic_corpus"}),
    **training("teacher", {"teacher_model"}),
    **synthesis("synthesis"),
    "curation.keep": (9, CURATED | STUDENTS | REPORT),
    "curation.near_repeat": (0.5, CURATED),
    "curation.seed_copy": (0.5, CURATED),
    "curation.min_agreement": (0.5, CURATED),
    "curation.attempts": (9, CURATED),
    "curation.check_arithmetic": (True, CURATED),
    "curation.drop_echoes": (True, CURATED),
    "curation.drop_non_questions": (True, CURATED),
    "curation.check_grounding": (True, CURATED),
    "curation.norm": ("inf", {"curated_corpus", "corpus_profile"}),
    "curation.band": ("low", CURATED | REPORT),
    "curation.band_quantiles": ([0.2, 0.8], CURATED),
    "curation.embedder": ("hf://owner/name", CURATED | REPORT),
    **rules("curation.filters.*"),
    **rules("curation.verifiers.*"),
    "curation.verifiers.*.scorer": ("triviaqa", CURATED),
    "curation.verifiers.*.unverifiable": ("keep", CURATED),
    **training("student", TRAINED_ALIKE) | {"student.learning_rate": (0.5, TRAINED_ALIKE | HEADROOM_PAGE)},
    "student.seeds": (0, {"curated_corpus", *STUDENTS, *REPORT}),  # curation may then keep no empty corpus
    "student.order": ("seeds_last", {"student_model"}),
    "controls.seeds_tuned": ([1.0, 3.0], {"control_model"}),
    "controls.prompt_loss_student": (0.25, {"control_model"}),
    "controls.new_answers": (3, {"control_model"}),
    "controls.gold": (False, REPORT),
    "controls.shuffled": (True, REPORT),
    "evaluation.precision": ("bf16", SCORES | HEADROOM),
    "evaluation.bootstrap": (9, SCORES | REPORT),
    "evaluation.batch_size": (9, NONE),
    "report.margin": (0.05, REPORT),
    "headroom.replicates": (3, HEADROOM),
    "headroom.sizes": ([8, 16], HEADROOM),
    "headroom.steps": (9, HEADROOM),
    "headroom.wrong": ([0.25], HEADROOM),
    "headroom.answers": (9, HEADROOM),
    "headroom.temperature": (0.5, HEADROOM),
    "headroom.questions": (2, HEADROOM),
    "headroom.margin": (0.5, HEADROOM_PAGE),
    "checks.min_prompt_completion": (0.1, NONE),
    "checks.max_seed_copies": (0.1, NONE),
    "automation.checks_at": ("1 1 * * *", NONE),
    "automation.fresh_days": (1.0, NONE),
    "openlineage": ("events.jsonl", NONE),
    "mlflow": ("mlflow.db", NONE),
    "isolate_steps": (True, NONE),
    "owners": (["team:other"], NONE),
    "price_per_hour": (9.0, NONE),
}  # fmt: skip
KEYS |= {
    f"grid.selections.*.{key.removeprefix('curation.')}": entry
    for key, entry in KEYS.items()
    if key.startswith("curation.")
}
KEYS |= {
    "grid.selections.*.keep": (9, CURATED | REPORT),
    "grid.selections.*.band": ("low", CURATED),
    "grid.selections.*.embedder": ("hf://owner/name", CURATED),
    "grid.selections.*.seeds": (0, {"curated_corpus", "student_model"}),
    "grid.selections.*.order": ("seeds_last", {"student_model"}),
}


CONTROLS = {"seeds_tuned": [1.0, 2.0], "prompt_loss_student": 0.5, "new_answers": 2, "gold": True, "shuffled": False}
ARMS = {
    "unmasked": {"shots": 2, "synthesis": {"stop_at_right": "b"}},
    "masked": {
        "prompt_loss": 0.25,
        "teacher": {**load_profile("smoke").teacher.model_dump(), "steps": 5, "tokens": 99},
        "synthesis": {**load_profile("smoke").synthesis.model_dump(), "answerer": "tiny-random", "answerer_chat_template": "chatml",
                      "stop_at_agreement": 0.0},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Profile]:
    """One with every key but those of arms, selections and controls, and two with those."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "mine.py").write_text(PLUGINS, encoding="utf-8")
    (folder / "chat.jinja").write_text("{{ messages }}", encoding="utf-8")
    path = write_profile(folder, **ADDED)
    path.write_text(path.read_text(encoding="utf-8") + BENCHMARKS, encoding="utf-8")
    whole = load_profile(str(path))
    data = whole.model_dump()
    with_arms = {**data, "grid": {**data["grid"], "prompt_loss": {}, "arms": ARMS}}
    own = {**data["curation"], "attempts": 99, "min_agreement": 0.25, "seeds": 4, "order": "mixed"}
    with_variants = {**data, "grid": {**data["grid"], "selections": {"own": own}}, "controls": CONTROLS}
    return {
        "": whole, "grid.arms": Profile.model_validate({**with_arms, "folder": folder}),
        VARIANTS: Profile.model_validate({**with_variants, "folder": folder}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def profile(profiles: dict[str, Profile]) -> Profile:
    return profiles[""]


def fingerprints(profile: Profile, store: LocalStore) -> dict[tuple[str, Cell], str]:
    """Of every place of the smoke grid, with the parents that the store has; or of the selection and the controls, which have
    none in the store."""
    if profile.grid.selections:
        grid, size = Grid(profile), Cell(8)
        places = [
            (step, replace(size, variant=name))
            for step in GRAPH.values()
            if step.over is Over.CONTROLS
            for name in CONTROLS
        ]
        places += [(step, Cell(8, "unmasked", 0, "own")) for step in GRAPH.values() if step.over is Over.SELECTIONS]
        places.append((GRAPH["recipe_report"], Cell()))
        return {
            (step.name, cell): fingerprint(step, GRAPH, step.config.of(grid, cell, {}), {}).digest
            for step, cell in places
        }
    grid, smoke = Grid(profile), Grid(profile.model_copy(update={"grid": load_profile("smoke").grid}))
    return {
        (step.name, cell): plan(step, cell, grid, store).wanted.digest
        for step, cell in [*smoke.all_places(), *smoke.asked_places()]
    }


@pytest.fixture(scope="module")
def before(profiles: dict[str, Profile], headroom) -> dict[str, dict[tuple[str, Cell], str]]:
    return {name: fingerprints(profile, headroom.store) for name, profile in profiles.items()}


def test_the_table_has_every_key_of_a_profile_and_no_other() -> None:
    assert sorted(KEYS) == sorted(keys())


@pytest.mark.parametrize("key", KEYS)
def test_a_key_changes_the_fingerprints_of_what_reads_it(key: str, profiles: dict, before: dict, headroom) -> None:
    value, expected = KEYS[key]
    which = "grid.arms" if key.startswith("grid.arms") else VARIANTS if key.startswith(VARIANTS) else ""
    after = fingerprints(changed(profiles[which], key, value), headroom.store)
    assert {name for name, cell in after if before[which][name, cell] != after[name, cell]} == expected


def test_a_loss_weight_changes_its_own_arm_alone(profile: Profile, before: dict, headroom) -> None:
    half = changed(profile, "grid.prompt_loss", {"masked": 0.0, "unmasked": 0.5})
    after = fingerprints(half, headroom.store)
    changed_cells = {
        cell.arm for name, cell in after if name == "teacher_model" and before[""][name, cell] != after[name, cell]
    }
    assert changed_cells == {"unmasked"}


def test_nothing_of_a_finished_run_has_drifted(headroom) -> None:
    grid, store = headroom.grid, headroom.store
    for step, cell in [*grid.all_places(), *grid.asked_places()]:
        now, artifact = plan(step, cell, grid, store), store.require(step.name, cell)
        assert serves(artifact, now.wanted, now.withdrawals), step.name
        assert drift(artifact.manifest, now.wanted) == []


# Contents outside the store.


@pytest.mark.parametrize(
    ("file", "expected"), [("mine.py", POOL | QUESTIONS | CURATED), ("chat.jinja", {"base_model", "synthetic_corpus"})]
)
def test_the_content_of_a_file_counts_and_its_time_does_not(
    file: str, expected: set[str], profile: Profile, headroom, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(profile.folder, tmp_path / profile.folder.name))
    asked = load_profile(str(folder / "own.toml"))
    for key in ("base_model.chat_template", "synthesis.answerer_chat_template"):
        asked = changed(asked, key, "chat.jinja")
    before = fingerprints(asked, headroom.store)
    (folder / file).touch()
    assert fingerprints(asked, headroom.store) == before
    with open(folder / file, "a", encoding="utf-8") as written:
        written.write("\n\ndef more():\n    return 1\n")
    after = fingerprints(asked, headroom.store)
    assert {name for name, cell in before if before[name, cell] != after[name, cell]} == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("base_model.source", {"base_model"}),
        ("synthesis.answerer", {"synthetic_corpus"}),
        ("curation.embedder", {"curated_corpus"}),
    ],
)
def test_the_folder_of_a_model_counts(key: str, expected: set[str], profile: Profile, headroom, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    asked = changed(profile, key, str(model))
    before = fingerprints(asked, headroom.store)
    (model / "tokenizer.json").write_text("{}")
    after = fingerprints(asked, headroom.store)
    assert {name for name, cell in before if before[name, cell] != after[name, cell]} == expected


def test_what_a_row_is_said_to_come_from_counts(profile: Profile, headroom, tmp_path: Path) -> None:
    """The pool's column `source` names the file with its folder."""
    asked = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / "data/seed/trivia.jsonl", tmp_path / folder / "seeds.jsonl")
        path = write_profile(tmp_path / folder, sources='sources = [\n  { path = "seeds.jsonl" },')
        asked.append(fingerprints(load_profile(str(path)), headroom.store))
    here, there = asked
    assert {name for name, cell in here if here[name, cell] != there[name, cell]} == POOL


# A changed rule of a benchmark decides anew which seeds are contaminated.


def test_a_changed_benchmark_rule_remakes_the_pool(finished, tmp_path: Path) -> None:
    store, pool = finished.copy(tmp_path), "seed_examples"
    grid = Grid(changed(finished.grid.profile, "benchmarks.word_problems.rule", "triviaqa"))
    now = plan(grid.graph[pool], Cell(), grid, store)
    reasons = drift(store.require(pool, Cell()).manifest, now.wanted)
    assert [str(reason) for reason in reasons] == ["benchmarks.1.rule gsm8k → triviaqa"]
    assert made(grid, store, pool) == {"seed_examples [-]"}
    assert store.require(pool, Cell()).manifest.version == 2
    assert made(grid, store, pool) == set()


# Why something is out of date.


def test_whatever_is_not_current_has_a_reason(finished) -> None:
    """Also where a key came or went that has no value, or where nothing that a manifest holds has changed."""
    step, cell = finished.grid.graph["curated_corpus"], Cell(8, "unmasked")
    manifest = finished.store.require(step.name, cell).manifest
    wanted = plan(step, cell, finished.grid, finished.store).wanted
    other = replace(wanted, digest="0" * 64)
    without = {key: value for key, value in manifest.settings.items() if key != "embedder"}
    assert manifest.settings["embedder"]["content"] is None
    said = [str(change) for change in drift(replace(manifest, settings=without), other)]
    assert said == ["embedder.source none → all-MiniLM-L6-v2", "embedder.content none → None"]
    assert [str(change) for change in drift(manifest, other)] == ["how fingerprints are made"]
