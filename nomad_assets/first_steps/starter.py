"""A folder to start from with one's own seed file: a commented profile, Dagster's two files, and places for the data."""

import hashlib
import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nomad_assets.errors import NomadError
from nomad_assets.first_steps.commented_profile import commented_profile
from nomad_assets.names import NAME
from nomad_assets.profile.load import PROJECT_FILE
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.curation.contamination import COMMON, folded
from nomad_assets.recipe.curation.word_grams import NumberedTexts
from nomad_assets.recipe.data.seed_pool import build_pool
from nomad_assets.recipe.data.sources import Row, Rows, read_source
from nomad_assets.recipe.evaluation.benchmarks import question_table
from nomad_assets.recipe.evaluation.scorers.gsm8k import final_number

HELD_OUT, FEWEST_HELD_OUT, MOST_HELD_OUT = 0.2, 3, 100
FIRST_SIZE, SMALLEST_SIZE = 32, 4
FEWEST = 10
LEFT_OUT = "left_out.jsonl"
WORDS = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z]{1,24}(?![A-Za-z0-9+/=_-])")
REASONS = {
    "benchmark_question": "more than half of a held-out question's words",
    "not_single_turn": "not one user turn and one assistant turn",
}
LONGEST = Training.model_fields["max_length"].default
IGNORED = "data/lake/\ndata/dagster/\ndata/out/\n.nux/\n.telemetry/\n.logs_queue/\nhistory/\nschedules/\nstorage/\n"


@dataclass(frozen=True)
class Division:
    """Rows as `init` divides them: seeds, held-out questions, and what is neither (`source`, `row`, `reason`, `evidence`)."""

    seeds: list[Row]
    questions: list[Row]
    left_out: list[dict]

    @property
    def rule(self) -> str:
        """How answers are scored: by the number behind `####` where every question has one."""
        numbers = [final_number(row.response) for row in self.questions]
        return "gsm8k" if numbers and None not in numbers else "triviaqa"

    def words(self) -> str:
        """How many rows went where."""
        total = len(self.seeds) + len(self.questions) + len(self.left_out)
        text = f"{total:,} rows read: {len(self.seeds):,} seeds, {len(self.questions):,} held out as questions"
        return text + "".join(f", {reason}" for reason in _reasons(self.left_out))


def start(folder: Path, seeds: str | None) -> tuple[list[Path], Division]:
    """Write a project folder, with the rows of `seeds` (any source a profile takes) where it is given.

    A fifth of the rows, at most 100, are held out as questions to score students by. The files, and where the rows
    went. Raises NomadError when the folder holds anything, when the rows cannot be read, or when they are too few.
    """
    folder = Path(os.path.realpath(folder))
    if seeds == "":
        raise NomadError("--seeds is empty; give a file, a folder or hf://owner/name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NomadError(f"{folder}: is not empty; give the name of a new folder")
    if not NAME.fullmatch(folder.name):
        raise NomadError(f"{folder.name!r}: use letters, digits, '.', '_' and '-' for the folder's name")
    source = seeds if seeds is None or seeds.startswith("hf://") else os.path.realpath(seeds)
    rows = Division([], [], []) if source is None else divide(read_source(source))
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / "data").mkdir()
        (folder / PROJECT_FILE).write_text(_profile_text(folder.name, rows), encoding="utf-8")
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(Path(__file__).parent / "project_files" / name, folder / name)
        (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
        if rows.seeds:
            _write_lines(map(_record, rows.seeds), folder / "data" / "seeds.jsonl")
            _write_lines(map(_record, rows.questions), folder / "data" / "questions.jsonl")
        else:
            (folder / "data" / "README.md").write_text(DATA_README, encoding="utf-8")
        if rows.left_out:
            _write_lines(rows.left_out, folder / "data" / LEFT_OUT)
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            folder.rmdir()
        raise
    return sorted(path for path in folder.rglob("*") if path.is_file()), rows


DATA_README = """# Put two files here

- `seeds.jsonl`: your good examples, one JSON object a line: `{"prompt": "…", "response": "…"}`, or any other format that
  `nomad-assets inspect data/seeds.jsonl` recognises.
- `questions.jsonl`: questions that are in none of them, to score students by: `{"question": "…", "answers": ["…", "…"]}`.
"""


def divide(rows: Rows) -> Division:
    """Hold out a fifth of the different prompts, the first by a hash.

    Of prompts that share an 8-gram, such as an instruction, three are held out together: by the contamination rule that
    gram is then nobody's own, where one alone would take all others with it. A prompt is held out once; its repeats, and
    the seeds that hold a held-out question all the same, are left out as the pool would leave them out. Raises NomadError
    when too few rows are left for a teacher.
    """
    keys = [folded(row.prompt) for row in rows.rows]
    prompts: dict[tuple[str, ...], Row] = {}
    for key, row in zip(keys, rows.rows, strict=True):
        prompts.setdefault(key, row)
    if len(prompts) < FEWEST:
        raise NomadError(
            f"only {len(prompts)} rows with different prompts; give at least {FEWEST}, a few hundred are better"
            + "".join(f"; {reason}" for reason in _reasons(rows.left_out))
        )
    questions = _held_out(prompts)
    repeats, rest = [], []
    for key, row in zip(keys, rows.rows, strict=True):
        first = questions.get(key)
        if first is None:
            rest.append(row)
        elif first is not row:
            evidence = f"same prompt as row {first.number}"
            repeats.append(
                {"source": row.source, "row": row.number, "reason": "repeat_of_a_question", "evidence": evidence}
            )
    division = Division([], list(questions.values()), [])
    known = question_table("held_out", division.rule, Rows(division.questions)).select("id", "question", "answers")
    pool, left_out = build_pool([Rows(rest, rows.left_out)], list(known.iter_rows()), 0)
    usable = set(pool["source_row"])
    division.seeds.extend(row for row in rest if row.number in usable)
    division.left_out.extend(sorted([*left_out.to_dicts(), *repeats], key=lambda entry: entry["row"]))
    if len(division.seeds) < SMALLEST_SIZE:
        raise NomadError(f"too few seeds are left; give rows that differ more ({division.words()})")
    return division


def _held_out(prompts: dict[tuple[str, ...], Row]) -> dict[tuple[str, ...], Row]:
    """Those of the rows with different prompts, by their words, that become questions."""
    keys, rows = list(prompts), list(prompts.values())
    wanted = min(MOST_HELD_OUT, max(FEWEST_HELD_OUT, int(len(rows) * HELD_OUT)))
    grams = NumberedTexts(row.prompt for row in rows).most_shared(COMMON).tolist()
    order = sorted(range(len(rows)), key=lambda number: hashlib.sha256(" ".join(keys[number]).encode()).digest())
    groups: dict[int, list[int]] = defaultdict(list)
    for number in order:
        groups[grams[number]].append(number)
    chosen: set[int] = set()
    for number in order:
        if len(chosen) >= wanted:
            break
        if number in chosen:
            continue
        group = groups[grams[number]] if grams[number] >= 0 else [number]
        here = sum(member in chosen for member in group)
        # One with another response first: questions that all have one answer may be one question.
        others = sorted(
            (member for member in group if member != number and member not in chosen),
            key=lambda member: rows[member].response == rows[number].response,
        )
        chosen.update([number, *others[: max(0, COMMON - here - 1)]])
    return {keys[number]: rows[number] for number in sorted(chosen)}


def _reasons(left_out: list[dict]) -> list[str]:
    counts = Counter(entry["reason"] for entry in left_out)
    return [f"{n:,} left out ({REASONS.get(r, r.replace('_', ' '))})" for r, n in counts.most_common()]


def _record(row: Row) -> dict:
    """The row as a source takes it again, with its own id."""
    given = {} if row.given_id is None else {"id": row.given_id}
    if row.answers:
        return {**given, "question": row.prompt, "answers": list(row.answers)}
    return {**given, "prompt": row.prompt, "response": row.response}


def _write_lines(records: Iterable[dict], path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _profile_text(name: str, rows: Division) -> str:
    # Small on purpose: a first report without a GPU before patience ends. Sizes are added with one line later.
    count = min(len(rows.seeds) or FIRST_SIZE, FIRST_SIZE)
    prompt = _cap([row.prompt for row in rows.seeds])
    answer = _cap([row.response for row in (*rows.seeds, *rows.questions)])
    chosen = {
        "name": name,
        "seeds": {"sources": [{"path": "data/seeds.jsonl"}]},
        "benchmarks": {
            "held_out": {
                "source": {"path": "data/questions.jsonl"}, "rule": rows.rule,
                "max_new_tokens": answer,
            }
        },
        "base_model": {"source": "smollm2-135m", "chat_template": "chatml"},
        "grid": {"train_sizes": [count]},
        "teacher": {"learning_rate": 2e-4, "min_steps": 12},
        "synthesis": {
            "target": 2 * count, "max_attempts": 3 * count,
            "prompt": {"max_new_tokens": prompt}, "response": {"max_new_tokens": answer},
        },
        "curation": {"keep": count, "band_quantiles": [0.1, 0.9]},
        "student": {"learning_rate": 2e-4, "min_steps": 12},
    }  # fmt: skip
    return commented_profile(chosen)


def _cap(texts: list[str]) -> int:
    """More tokens than the longest text has, without its tokenizer, which takes seconds to load: a token holds at least
    one byte, and of words in Latin letters two in the mean; runs of letters too long for words are counted by the byte.
    `inspect` counts the real ones."""
    if not texts:
        return 256
    letters = [sum(map(len, WORDS.findall(text))) for text in texts]
    most = max(len(text.encode()) - n // 2 for text, n in zip(texts, letters, strict=True))
    return min(LONGEST, max(16, -(-most // 16) * 16))
