"""Seconds, tokens and peak memory of every step of a profile's current artifacts, from their manifests.

python benchmarks/steps.py quickstart
"""

import sys

from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.store.home import store_of


def main(name: str) -> None:
    profile = load_profile(name)
    grid, store = Grid(profile), store_of(profile.name)
    total, highest = 0.0, 0.0
    print("| asset | cell | seconds | tokens | tokens/s | peak memory, MiB |\n|---|---|---|---|---|---|")
    for step, cell in grid.all_places():
        artifact = store.current(step.name, cell)
        if artifact is None:
            continue
        record = artifact.manifest
        rate = f"{record.tokens / record.seconds:.0f}" if record.tokens else ""
        memory = (record.peak_memory_bytes or 0) / 2**20
        total, highest = total + record.seconds, max(highest, memory)
        print(f"| {step.name} | {cell.label} | {record.seconds:.1f} | {record.tokens or ''} | {rate} | {memory:.0f} |")
    print(f"\nsum {total:.0f} s, highest peak {highest:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1])
