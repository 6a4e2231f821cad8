"""What every table here shares: environments for the peers, runs in turn, raw results, medians and ranges.

A contender is a script in `contenders/` that reads a job, does it once and writes what it counted. Each run is a process
of its own, in the contender's own virtual environment. All contenders of a table run one after the other, over and over,
in an order that turns round every time; the first round warms the disk and is not counted. Ratios are taken within each
round and then their median, so that a machine that changes its speed changes both sides.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

ENVIRONMENT = dict(os.environ)
"""As this process was started, for its contenders: importing nomad_assets bounds how long threads spin, for us alone."""

import nomad_assets  # noqa: E402, F401  before anything here imports torch

HERE = Path(__file__).resolve().parent
WORK, RESULTS, CONTENDERS = HERE / ".work", HERE / "results", HERE / "contenders"
ROOT = HERE.parent
THREADS = 2
OURS = "nomad-assets"


@dataclass(frozen=True)
class Contender:
    label: str
    script: str
    environment: str | None = None
    """Its requirements file in `contenders/`, without the ending; None is the project's own environment."""
    changes: dict = field(default_factory=dict)
    """What differs from the table's job, to which `judge` is added: whether to judge the result, too (first round)."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment, beside those that all contenders get."""
    rounds: int | None = None
    """Fewer rounds than the others, for one that takes many minutes."""


def interpreter(environment: str | None) -> str:
    """The Python of an environment, which is installed first where it is not there or its requirements changed."""
    if environment is None:
        return sys.executable
    requirements = CONTENDERS / f"{environment}.txt"
    folder = WORK / "venvs" / environment
    python, stamp = folder / "bin" / "python", folder / "installed"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        options = ["--no-deps"] if requirements.read_text().startswith("# --no-deps") else []
        subprocess.run([python, "-m", "pip", "install", "--quiet", *options, "-r", requirements], check=True)
        stamp.write_text(digest)
    return str(python)


def run_once(contender: Contender, job: dict, timeout: float = 1800) -> dict:
    """One run: what the contender wrote, with the wall seconds and the peak memory of its processes."""
    folder = WORK / "run"
    folder.mkdir(parents=True, exist_ok=True)
    job_path, result_path, log = folder / "job.json", folder / "result.json", folder / "log.txt"
    result_path.unlink(missing_ok=True)
    job_path.write_text(json.dumps({"threads": THREADS, **job, **contender.changes}))
    command = [
        interpreter(contender.environment),
        str(CONTENDERS / f"{contender.script}.py"),
        str(job_path),
        str(result_path),
    ]
    environment = {
        **ENVIRONMENT,
        "OMP_NUM_THREADS": str(THREADS),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **contender.variables,
    }
    begun = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        peak = _watch_memory(process)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            process.wait()
            return {"error": f"stopped after {timeout:.0f} s"}
    wall = time.monotonic() - begun
    if code != 0 or not result_path.is_file():
        return {"error": f"exit code {code}: {log.read_text(errors='replace')[-1500:]}", "wall_seconds": wall}
    return {**json.loads(result_path.read_text()), "wall_seconds": wall, "tree_peak_mib": peak() / 2**20}


def _watch_memory(process: subprocess.Popen):
    """Samples the resident memory of a process and its children ten times a second; returns what tells the peak.

    Pages that processes share count for each of them, which overstates peers that fork.
    """
    highest = 0

    def watch() -> None:
        nonlocal highest
        try:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                total = 0
                for one in [root, *root.children(recursive=True)]:
                    try:
                        total += one.memory_info().rss
                    except psutil.NoSuchProcess:
                        continue
                highest = max(highest, total)
                time.sleep(0.1)
        except psutil.NoSuchProcess:
            return

    threading.Thread(target=watch, daemon=True).start()
    return lambda: highest


@contextlib.contextmanager
def load(wanted: bool) -> Iterator[None]:
    """Where wanted, another process multiplies matrices on as many threads as a contender has, all the while."""
    if not wanted:
        yield
        return
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": str(THREADS)}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "load.py"), str(THREADS)], env=environment, stdout=subprocess.PIPE
    )
    try:
        process.stdout.readline()  # the first product is done
        yield
        if process.poll() is not None:
            raise RuntimeError("the process that was to be the load ended before the contenders")
    finally:
        process.kill()
        process.wait()


def compare(
    table: str, contenders: list[Contender], job: dict, options, look: Callable[[dict], dict] = lambda run: {}
) -> list[dict]:
    """All counted runs, also written to `results/TABLE.json` after each one; `look` adds what it finds in a run's files."""
    contenders = chosen(contenders, options.only)
    for contender in contenders:
        interpreter(contender.environment)
    only = "-" + options.only.replace(",", "-") if options.only else ""
    state = ("-fp32" if options.precision == "fp32" else "") + ("-loaded" if options.loaded else "")
    path = RESULTS / f"{table}{only}{state}.json"
    record = {"table": table, "loaded": options.loaded, "machine": machine(), "job": _portable(job), "runs": []}
    RESULTS.mkdir(exist_ok=True)
    with load(options.loaded):
        for turn in range(1 - options.warm_up, options.rounds + 1):
            for contender in contenders if turn % 2 else reversed(contenders):
                if contender.rounds is not None and turn > contender.rounds:
                    continue
                outcome = run_once(contender, {**job, "judge": turn == 1})
                if "error" not in outcome:
                    outcome |= look(outcome)
                print(f"{table} round {turn} {contender.label}: {_brief(outcome)}", file=sys.stderr, flush=True)
                if turn > 0:
                    record["runs"].append({"round": turn, "contender": contender.label, **_portable(outcome)})
                    path.write_text(json.dumps(record, indent=1) + "\n")
    return record["runs"]


def _brief(outcome: dict) -> str:
    if "error" in outcome:
        return f"failed: {outcome['error'][-300:]}"
    return ", ".join(f"{k} {v:.1f}" for k, v in outcome.items() if isinstance(v, float))


def _portable(facts: dict) -> dict:
    """Without folders of this machine."""
    return {
        key: Path(value).name if isinstance(value, str) and value.startswith("/") else value
        for key, value in facts.items()
    }


def machine() -> dict:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in facts if line.startswith("model name"))
    model = next(names, platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": model, "cores": os.cpu_count(), "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "threads": THREADS, "load_before": round(os.getloadavg()[0], 2), "date": time.strftime("%Y-%m-%d"), "commit": commit.stdout.strip(),
    }  # fmt: skip


def report(table: str, runs: list[dict], rate: str, of, more: dict | None = None) -> str:
    """A Markdown table: median and range of `of(run)`, and how many times that of each peer ours is, round by round.

    `more` are further columns, name -> function of a run, given as medians.
    """
    more = more or {}
    lines = [f"| {table} | {rate} | ours against it | runs | {' | '.join(more)} |".replace("|  |", "|")]
    lines.append("|" + "---|" * (lines[0].count("|") - 1))
    good = [run for run in runs if "error" not in run]
    ours = {run["round"]: of(run) for run in good if run["contender"] == OURS}
    for label in dict.fromkeys(run["contender"] for run in runs):
        mine = [run for run in good if run["contender"] == label]
        if not mine:
            lines.append(f"| {label} | failed | | 0 |" + " |" * len(more))
            continue
        values = [of(run) for run in mine]
        ratios = [ours[run["round"]] / of(run) for run in mine if run["round"] in ours and label != OURS]
        against = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
        found = [[value for run in mine if (value := function(run)) is not None] for function in more.values()]
        cells = [f"{median(values):.4g}" if values else "" for values in found]
        value = f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})"
        lines.append(f"| {' | '.join([label, value, against, str(len(mine)), *cells])} |")
    return "\n".join(lines)


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before the counted ones")
    parser.add_argument("--only", default="", help="contenders whose label holds one of these words, with ours")
    parser.add_argument(
        "--precision", choices=["bf16", "fp32"], default="bf16", help="fp32 for a CPU without bf16 products"
    )
    parser.add_argument(
        "--loaded", action="store_true", help=f"beside another process that multiplies on {THREADS} threads"
    )
    return parser


def chosen(contenders: list[Contender], only: str) -> list[Contender]:
    words = only.split(",") if only else [""]
    return [c for c in contenders if c.label == OURS or any(word in c.label for word in words)]


def base_model() -> Path:
    """SmolLM2-135M with ChatML, built once."""
    from nomad_assets.recipe.models.base_models import build_base_model
    from nomad_assets.recipe.models.loading import quiet

    quiet()
    folder = WORK / "models" / "base"
    if not (folder / "config.json").is_file():
        build_base_model("smollm2-135m", folder, chat_template="chatml", dtype="float32", corpus=[], seed=0)
    return folder


def shipped_rows(name: str, count: int) -> list[dict]:
    """The first rows of a seed file that comes with the project, as prompt and response."""
    lines = (ROOT / "data" / "seed" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    return [{"prompt": row["question"], "response": row.get("answer") or row["answers"][0]} for row in rows]


def write_rows(rows: list[dict], name: str) -> str:
    path = WORK / "rows" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def teacher(name: str) -> Path:
    """The base model trained on 128 shipped rows, prompt and response, so that it writes such rows and ends them."""
    from nomad_assets.profile.sections import Training
    from nomad_assets.recipe.models.loading import load_tokenizer
    from nomad_assets.recipe.models.turns import Turns, training_rows
    from nomad_assets.recipe.training.launch import train_folder

    base, folder = base_model(), WORK / "models" / f"teacher-{name}"
    if not (folder / "config.json").is_file():
        examples = [(str(i), row["prompt"], row["response"]) for i, row in enumerate(shipped_rows(name, 128))]
        rows, _ = training_rows(Turns(load_tokenizer(base), "base"), examples, 1.0, 512)
        settings = Training(epochs=2, learning_rate=2e-4, warmup=0.0)
        train_folder(base, rows, settings, seed=0, scratch=WORK / "scratch", out=folder, dtype="float32")
    return folder
