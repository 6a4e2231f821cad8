"""What the demo says with other seeds: its first sentence and its numbers, run by run.

python benchmarks/demos.py [--seeds 1-10] [--table]

Each run is `nomad-assets run` on the shipped profile with another `seed`, on an empty store, from the start of the process to its end.
A seed that stands in `results/demos.json` already is not run again; `--table` runs nothing. No run is left out.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

from harness import RESULTS, machine

FILE = RESULTS / "demos.json"
CELLS = {"masked": "16/masked", "unmasked": "16/unmasked"}


def once(seed: int) -> dict:
    from nomad_assets.profile.load import PROFILES

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        profile = home / "quickstart.toml"
        shipped = (PROFILES / "quickstart.toml").read_text(encoding="utf-8")
        profile.write_text(re.sub(r"(?m)^seed = \d+$", f"seed = {seed}", shipped), encoding="utf-8")
        places = {"NOMAD_HOME": str(home / "lake"), "DAGSTER_HOME": str(home / "dagster")}
        (home / "dagster").mkdir()
        command = [str(Path(sys.executable).with_name("nomad-assets")), "run", "--profile", str(profile)]
        begun = time.monotonic()
        subprocess.run(command, cwd=home, env={**os.environ, **places}, check=True, stdout=subprocess.DEVNULL)
        minutes = (time.monotonic() - begun) / 60
        os.environ.update(places)
        return {"seed": seed, "minutes": minutes, "machine": machine(), **said(profile)}  # its load is that at the end


def said(profile: Path) -> dict:
    """First sentence, what is called settled, and the figures behind it."""
    from nomad_assets import api

    grid = api.load(profile)
    answer = grid.report().markdown.split("## The answer\n", 1)[1].split("\n## ", 1)[0]
    first, _, rest = re.search(r"\*\*(.+?)\*\*", answer)[1].partition(". ")
    settled = answer.partition("Settled, of these teachers:\n\n")[2].partition("\n\n")[0]
    corpora = {arm: dict(grid.table("corpus_profile", cell, "metrics").iter_rows()) for arm, cell in CELLS.items()}
    right = grid.scores().filter(metric="exact_match").group_by("kind", "arm").agg(mean="mean")
    scores = {arm or kind: sum(found) / len(found) for kind, arm, found in right.iter_rows()}
    return {
        "first": f"{first}.",
        "difference": re.search(r"\S+ points \(.*?\)", rest)[0],
        "settled": settled.splitlines(),
        "corpora": corpora,
        "scores": scores,
    }


def table(runs: list[dict]) -> str:
    lines = [
        "| seed | first sentence | chosen cell against seeds alone | prompts ended, masked and unmasked | relevance | attempts that gave a row without a sign of error "
        "| base, seeds alone, masked, unmasked | minutes (load) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        masked, unmasked = (run["corpora"][arm] for arm in CELLS)
        ended, good = (
            ", ".join(f"{100 * c[key] / c['attempts']:.0f}%" for c in (masked, unmasked))
            for key in ("prompts_completed", "kept_without_error")
        )
        relevance = ["–" if c["relevance_all"] is None else f"{c['relevance_all']:.2f}" for c in (masked, unmasked)]
        scores = ", ".join(f"{100 * run['scores'][of]:.0f}%" for of in ("base", "control", *CELLS))
        lines.append(
            f"| {run['seed']} | {run['first']} | {run['difference']} | {ended} | {', '.join(relevance)} "
            f"| {good} | {scores} | {run['minutes']:.1f} ({run['machine']['load_before']:.1f}) |"
        )
    minutes = [run["minutes"] for run in runs]
    counted = f"{len(runs)} runs, minutes {median(minutes):.1f} ({min(minutes):.1f} to {max(minutes):.1f})"
    settled = Counter(line.removeprefix("- ").partition(":")[0] for run in runs for line in run["settled"])
    settling = [f"settled in {count} of {len(runs)}: {what}" for what, count in settled.most_common()]
    return "\n".join([*lines, "", counted, *settling])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-10", help="as in 1-10")
    parser.add_argument("--table", action="store_true", help="print the table of what was run")
    options = parser.parse_args()
    first, last = map(int, options.seeds.split("-"))
    runs = json.loads(FILE.read_text()) if FILE.exists() else []
    for seed in () if options.table else range(first, last + 1):
        if seed not in {run["seed"] for run in runs}:
            runs = sorted([*runs, once(seed)], key=lambda run: run["seed"])
            FILE.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
