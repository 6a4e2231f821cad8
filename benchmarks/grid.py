"""A grid of 20 sizes x 10 arms: how long the code location takes to load, and to plan and list the grid.

python benchmarks/grid.py [--rounds 5]

Each figure is of a fresh process; beside it the same for a grid of 2 x 2. The store holds nothing, so that what is
listed is the plan. `plan` asks of every artifact of the grid whether a run would make it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from harness import ROOT, arguments

LOAD = """
import json, time
begun = time.perf_counter()
import dagster as dg
from nomad_assets.definitions import definitions_of, work_of
from nomad_assets.engine.plan import is_current
from nomad_assets.profile.load import load_profile
imported = time.perf_counter()
work = work_of(load_profile())
definitions = definitions_of(work)
dg.Definitions.validate_loadable(definitions)
nodes = list(definitions.resolve_asset_graph().asset_nodes)
loaded = time.perf_counter()
keys = {n.key.path[-1]: n.partitions_def.get_partition_keys() for n in nodes if n.partitions_def}
listed = time.perf_counter()
open_work = sum(not is_current(step, cell, work.grid, work.store) for step, cell in work.grid.all_places())
planned = time.perf_counter()
print(json.dumps({"import": imported - begun, "load": loaded - imported, "list": listed - loaded,
                  "plan": planned - listed, "cells": len(keys["teacher_model"]), "artifacts": open_work}))
"""


def main() -> None:
    options = arguments(__doc__).parse_args()
    smoke = (ROOT / "nomad_assets" / "profile" / "shipped" / "smoke.toml").read_text(encoding="utf-8")
    print("| grid | cells | artifacts | import, s | load and validate, s | list all partitions, s | plan, s |")
    print("|---|---|---|---|---|---|---|")
    for sizes, arms in ((2, 2), (20, 10)):
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "profile.toml"
            profile.write_text(_with_grid(smoke, sizes, arms), encoding="utf-8")
            found = [_once(profile, Path(folder)) for _ in range(options.rounds + 1)][1:]
        cells = [f"{median([run[k] for run in found]):.2f}" for k in ("import", "load", "list", "plan")]
        print(f"| {sizes} x {arms} | {found[0]['cells']} | {found[0]['artifacts']} | {' | '.join(cells)} |")


def _with_grid(profile: str, sizes: int, arms: int) -> str:
    """The smoke profile with another grid; nothing of it is run."""
    before, _, rest = profile.partition("[grid]")
    after = rest[rest.index("\n[") :] if "\n[" in rest else ""
    losses = ", ".join(f"w{number} = {number / (arms - 1):.3f}" for number in range(arms))
    grid = f"[grid]\ntrain_sizes = {[4 * (n + 1) for n in range(sizes)]}\nprompt_loss = {{ {losses} }}\n"
    return before + grid + after


def _once(profile: Path, home: Path) -> dict:
    environment = {**os.environ, "NOMAD_PROFILE": str(profile), "NOMAD_HOME": str(home / "lake")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
