"""What the graph costs beside the work: the wall time of a whole run against the sum of its steps' bodies.

python benchmarks/orchestration.py smoke [--rounds 5]

Each round is `nomad-assets run` on an empty store and an empty Dagster home, from the start of the process to its end.
The bodies are what the asset functions took, from the manifests: reading, computing, validating, plotting, writing. The
rest is Python's start, Dagster's runs and events, digests, publishing, checks, lineage.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from harness import RESULTS, ROOT, arguments, machine


def once(profile: str) -> dict:
    from nomad_assets.profile.load import load_profile
    from nomad_assets.store.home import store_of

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
        places = {"NOMAD_HOME": str(home / "lake"), "DAGSTER_HOME": str(home)}
        command = [str(Path(sys.executable).with_name("nomad-assets")), "run", "--profile", profile]
        begun = time.monotonic()
        subprocess.run(command, cwd=home, env={**os.environ, **places}, check=True, stdout=subprocess.DEVNULL)
        wall = time.monotonic() - begun
        os.environ.update(places)
        bodies: dict[str, float] = {}
        tokens: dict[str, int] = {}
        store = store_of(load_profile(profile).name)
        for record in map(store.manifest, store.listing()):
            bodies[record.asset] = bodies.get(record.asset, 0.0) + record.seconds
            tokens[record.asset] = tokens.get(record.asset, 0) + (record.tokens or 0)
    return {"wall_seconds": wall, "bodies": bodies, "tokens": tokens}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("profile", choices=["smoke", "quickstart"])
    options = parser.parse_args()
    runs = []
    RESULTS.mkdir(exist_ok=True)
    for _ in range(options.rounds):
        runs.append(once(options.profile))
        record = {"table": f"orchestration-{options.profile}", "machine": machine(), "runs": runs}
        (RESULTS / f"orchestration-{options.profile}.json").write_text(json.dumps(record, indent=1) + "\n")
    walls, sums = [run["wall_seconds"] for run in runs], [sum(run["bodies"].values()) for run in runs]
    ratios = [wall / total for wall, total in zip(walls, sums, strict=True)]
    print("| profile | whole run, s | sum of bodies, s | ratio | runs |\n|---|---|---|---|---|")
    print(
        f"| {options.profile} | {median(walls):.1f} ({min(walls):.1f} to {max(walls):.1f}) | {median(sums):.1f} "
        f"| {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) | {len(runs)} |\n"
    )
    print("| asset | seconds in all | tokens/s |\n|---|---|---|")
    for asset in runs[0]["bodies"]:
        seconds = median([run["bodies"][asset] for run in runs])
        count = median([run["tokens"][asset] for run in runs])
        print(f"| {asset} | {seconds:.1f} | {count / seconds:.0f} |" if count else f"| {asset} | {seconds:.1f} | |")


if __name__ == "__main__":
    main()
