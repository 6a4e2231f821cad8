"""A folder to start from with one's own seed file: a commented profile, Dagster's two files, and places for the data."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import get_args, get_origin

from pydantic_core import PydanticUndefined

from nomad_assets.errors import NomadError
from nomad_assets.names import NAME
from nomad_assets.profile import PROJECT_FILE, Benchmark, Profile, Section
from nomad_assets.recipe.overlap import folded
from nomad_assets.recipe.seeds import build_pool
from nomad_assets.recipe.sources import Row, Rows, read_source

HELD_OUT, MOST_HELD_OUT = 0.2, 100
FIRST_SIZE = 64
FEWEST = 10
IGNORED = "data/lake/\ndata/dagster/\ndata/out/\n.nux/\n.telemetry/\n.logs_queue/\nhistory/\nschedules/\nstorage/\n"
EXPLAINED = {
    "seeds": "Your good examples: what the teacher learns to write.",
    "benchmarks": "Questions that students are scored on; never trained on. A table for each.",
    "base_model": "The model that teachers and students are trained from.",
    "grid": "Which teachers are trained: every train size with every arm. Start small; a size that is added later\n"
    "costs its own cells alone.",
    "teacher": "How teachers are trained.",
    "synthesis": "How a teacher writes its corpus.",
    "curation": "What is kept of it.",
    "student": "How students are trained, on what was kept.",
    "evaluation": "How students answer the benchmarks.",
    "checks": "When a check warns.",
    "automation": "What Dagster does by itself, once it is switched on in the UI.",
}


def start(folder: Path, seeds: str | None) -> list[Path]:
    """Write a project folder, with the rows of `seeds` (any source a profile takes) where it is given; its files.

    A fifth of the rows, at most 100, are held out as questions to score students by. Raises NomadError when the folder
    holds anything, when the rows cannot be read, or when they are too few to hold any out.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NomadError(f"{folder}: is not empty; give the name of a new folder")
    if not NAME.fullmatch(folder.name):
        raise NomadError(f"{folder.name!r}: use letters, digits, '.', '_' and '-' for the folder's name")
    rows = read_source(os.path.realpath(seeds) if not seeds.startswith("hf://") else seeds) if seeds else None
    train, held_out = _divide(rows) if rows else ([], [])
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / "data").mkdir()
        (folder / PROJECT_FILE).write_text(_profile_text(folder.name, train, held_out), encoding="utf-8")
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(Path(__file__).parent / "project_files" / name, folder / name)
        (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
        if rows:
            _write_rows(train, folder / "data" / "seeds.jsonl")
            _write_rows(held_out, folder / "data" / "questions.jsonl")
        else:
            (folder / "data" / "README.md").write_text(DATA_README, encoding="utf-8")
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            folder.rmdir()
        raise
    return sorted(path for path in folder.rglob("*") if path.is_file())


DATA_README = """# Put two files here

- `seeds.jsonl`: your good examples, one JSON object a line: `{"prompt": "…", "response": "…"}`, or any other format that
  `nomad-assets inspect data/seeds.jsonl` recognises.
- `questions.jsonl`: questions that are in none of them, to score students by: `{"question": "…", "answers": ["…", "…"]}`.
"""


def _divide(rows: Rows) -> tuple[list[Row], list[Row]]:
    """(seeds, held out): a fifth by a hash of the prompt, so that equal prompts stay together and a new row moves none.

    Repeats, and seeds that the pool would leave out since they hold a held-out question, go.
    """

    def place(row: Row) -> bytes:
        return hashlib.sha256(" ".join(folded(row.prompt)).encode()).digest()

    places = sorted({place(row) for row in rows.rows})
    if len(places) < FEWEST:
        raise NomadError(
            f"only {len(places)} rows with different prompts; give at least {FEWEST}, a few hundred are better"
        )
    chosen = set(places[: min(MOST_HELD_OUT, int(len(places) * HELD_OUT))])
    held_out = [row for row in rows.rows if place(row) in chosen]
    questions = [(str(number), row.prompt, [row.response, *row.answers]) for number, row in enumerate(held_out)]
    rest = Rows([row for row in rows.rows if place(row) not in chosen])
    usable = set(build_pool([rest], questions, 0)[0]["source_row"])
    return [row for row in rest.rows if row.number in usable], held_out


def _write_rows(rows: list[Row], path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            answer = {"question": row.prompt, "answers": list(row.answers)} if row.answers else None
            record = answer or {"prompt": row.prompt, "response": row.response}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _profile_text(name: str, train: list[Row], held_out: list[Row]) -> str:
    # Small on purpose: a first report in minutes, also without a GPU. Sizes are added with one line later.
    count = min(len(train) or FIRST_SIZE, FIRST_SIZE)
    sizes = sorted({max(4, count // 4), count})
    numbers = bool(held_out) and all("#### " in row.response for row in held_out)
    longest = max((len(row.response) for row in (*train, *held_out)), default=0)
    answer = min(512, max(16, -(-longest // 2 // 16) * 16)) if longest else 256  # a token has some four characters
    prompt = min(512, max(32, -(-max((len(row.prompt) for row in train), default=0) // 2 // 16) * 16)) if train else 256
    chosen = {
        "name": name,
        "seeds": {"sources": [{"path": "data/seeds.jsonl"}]},
        "benchmarks": {
            "held_out": {
                "source": {"path": "data/questions.jsonl"}, "rule": "gsm8k" if numbers else "triviaqa",
                "max_new_tokens": answer,
            }
        },
        "base_model": {"source": "smollm2-135m", "chat_template": "chatml"},
        "grid": {"train_sizes": sizes},
        "teacher": {"learning_rate": 2e-4, "min_steps": 12},
        "synthesis": {
            "target": 2 * count, "max_attempts": 3 * count,
            "prompt": {"max_new_tokens": prompt}, "response": {"max_new_tokens": answer},
        },
        "curation": {"keep": count},
        "student": {"learning_rate": 2e-4, "min_steps": 12},
    }  # fmt: skip
    return commented_profile(chosen)


def commented_profile(chosen: dict) -> str:
    """A profile as TOML in which every key stands: those in `chosen` with their value, the others commented out with
    their default, each under what it means."""
    head = (
        "# A profile: one file that drives everything. `nomad-assets run` reads it in this folder.\n"
        "# Every key there is stands below; commented ones show their default. Paths are relative to this file.\n"
    )
    return head + "\n" + _section(Profile, chosen, "") + "\n"


def _section(model: type[Section], chosen: dict, path: str) -> str:
    """The keys of one table, plain ones first, as TOML wants them."""
    plain, tables = [], []
    for name, field in model.model_fields.items():
        if name == "folder":
            continue
        inner = _inner(field.annotation)
        value = chosen.get(name)
        if inner is not None and not path:
            tables.append(_table(name, inner, field, value))
            continue
        default = field.get_default(call_default_factory=True)
        default = default.model_dump(mode="json") if isinstance(default, Section) else default
        words = _comment(field.description)
        if value is not None:
            plain.append(f"{words}{name} = {_toml(value)}")
        elif default is None or default is PydanticUndefined:
            plain.append(f"{words}# {name} =")
        else:
            plain.append(f"{words}# {name} = {_toml(default)}")
    return "\n".join([*plain, *tables])


def _table(name: str, inner: type[Section], field, value: dict | None) -> str:
    explained = _comment(EXPLAINED.get(name)) or _comment(inner.__doc__)
    if name == "benchmarks":
        tables = [f"[benchmarks.{key}]\n{_section(Benchmark, entry, 'benchmarks')}" for key, entry in value.items()]
        return f"\n{explained}" + "\n\n".join(tables)
    return f"\n{explained}[{name}]\n{_section(inner, value or {}, name)}"


def _inner(annotation) -> type[Section] | None:
    """The Section that a field holds, itself or as the values of a table."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) is dict:
        return _inner(get_args(annotation)[1])
    return None


def _comment(text: str | None) -> str:
    return "".join(f"# {line.strip()}\n" for line in (text or "").splitlines())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items() if entry is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False)
