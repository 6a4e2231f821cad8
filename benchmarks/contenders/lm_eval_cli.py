"""Times lm-evaluation-harness' own command line on local questions, answered zero-shot and greedily.

`lm-eval run --model hf --model_args pretrained=...,dtype=... --apply_chat_template --include_path ... --tasks local`, as its
documentation gives it; `documented` leaves `--batch_size` at its default of 1, `best` takes the job's. The task file is
what `nomad_assets.recipe.benchmarks.local_task` builds: the same prompt, stop, length and metrics.

`seconds` runs from the line that announces the generation to the one that announces the results; `seconds_all` is the
whole of the process, imports and model loading included.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]

TASK = """\
task: local
dataset_path: json
dataset_kwargs:
  data_files:
    test: {questions}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{reference}}}}"
process_results: !function rules.process_results
generation_kwargs:
  until: []
  do_sample: false
  max_gen_toks: {max_new_tokens}
metric_list:
"""
METRIC = "  - metric: {metric}\n    aggregation: mean\n    higher_is_better: true\n"
RULES = """\
import sys

sys.path.append({root!r})
from nomad_assets.recipe.evaluation.benchmarks import score


def process_results(doc, results):
    return score({rule!r}, results[0], doc["answers"])
"""
METRICS = {
    "gsm8k": ["exact_match", "lm_eval_strict", "lm_eval_flexible"],
    "triviaqa": ["exact_match", "f1", "lm_eval_exact_match"],
}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    metrics = METRICS[job["rule"]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        task = TASK.format(questions=Path(job["questions"]).resolve(), max_new_tokens=job["max_new_tokens"])
        (folder / "local.yaml").write_text(task + "".join(METRIC.format(metric=metric) for metric in metrics))
        (folder / "rules.py").write_text(RULES.format(root=str(ROOT), rule=job["rule"]))
        command = [
            str(Path(sys.executable).with_name("lm-eval")), "run", "--model", "hf",
            "--model_args", f"pretrained={job['model']},dtype={job['dtype']}", "--device", "cpu",
            "--apply_chat_template", "--include_path", scratch, "--tasks", "local", "--output_path", f"{scratch}/out",
        ]  # fmt: skip
        if job["variant"] == "best":
            command += ["--batch_size", str(job["batch_size"])]
        begun, ended = run(command, job["threads"])
        results = json.loads(next(folder.glob("out/**/results_*.json")).read_text(encoding="utf-8"))
    result = {
        "seconds_all": time.time() - psutil.Process().create_time(),
        "seconds": None if begun is None or ended is None else ended - begun,
        "questions": results["n-samples"]["local"]["effective"],
        "scores": {metric: results["results"]["local"][f"{metric},none"] for metric in metrics},
        "versions": {package: importlib.metadata.version(package) for package in ("lm-eval", "transformers", "torch")},
    }
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1), encoding="utf-8")


def run(command: list[str], threads: int) -> tuple[float | None, float | None]:
    """Run the command; when its output announced the generation, and when the results."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    begun = ended = None
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    ) as process:
        for line in process.stdout:
            sys.stderr.write(line)
            if "Running generate_until requests" in line and begun is None:
                begun = time.perf_counter()
            elif "Saving results" in line and ended is None:
                ended = time.perf_counter()
    if process.returncode != 0:
        raise SystemExit(f"lm-eval ended with {process.returncode}")
    return begun, ended


if __name__ == "__main__":
    sys.exit(main())
