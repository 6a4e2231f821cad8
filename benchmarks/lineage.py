"""Lineage at scale: rebuild, incremental sync, trace and reach on a store made by benchmarks/history.py.

    python benchmarks/history.py STORE && python benchmarks/lineage.py STORE

Wall times in fresh processes, without and with their imports, and peak resident memory. Five repetitions, on other rows.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

MEASURED = """
import resource, sys, time
sys.path.insert(0, {root!r})
begun = time.perf_counter()
from pathlib import Path
import duckdb, polars
from nomad_assets.lineage.sync import reading, rebuild, sync
from nomad_assets.lineage.trace import draw, trace
from nomad_assets.lineage.withdrawal import reach
from nomad_assets.store.local import LocalStore
imported = time.perf_counter()
store = LocalStore(Path({store!r}))
{code}
ended = time.perf_counter()
print(ended - begun, ended - imported, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
SYNC = "sync(store)"
REBUILD = "rebuild(store)"
TRACE = "with reading(store) as connection: draw(trace(connection, store, {reference!r}))"
ROWS = """SELECT e.id FROM examples e JOIN current_artifacts a USING (artifact_id) WHERE a.train_size > 16
    ORDER BY hash(e.id) LIMIT 5"""
REACH = "reach(store, [{seed!r}])"


def measure(store: Path, code: str) -> tuple[float, float, float]:
    """(seconds with imports, without, peak MiB) of `code` in a fresh process."""
    text = MEASURED.format(root=str(Path(__file__).parents[1]), store=str(store), code=code)
    done = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, check=True)
    whole, alone, peak = done.stdout.split()
    return float(whole), float(alone), float(peak)


def line(what: str, figures: list[tuple[float, float, float]]) -> None:
    print(f"| {what} | {_range(figures, 1)} | {_range(figures, 0)} | {max(f[2] for f in figures):.0f} |", flush=True)


def _range(figures: list[tuple[float, float, float]], column: int) -> str:
    seconds = sorted(figure[column] for figure in figures)
    return f"{seconds[len(seconds) // 2]:.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    path = parser.parse_args().store.resolve()
    from benchmarks.history import CURATED, History
    from nomad_assets.cells import Cell
    from nomad_assets.lineage.questions import ask
    from nomad_assets.store.local import LocalStore

    store = LocalStore(path)
    print("| what | median (range) | with imports | peak MiB |\n|---|---|---|---|")
    line("rebuild", [measure(path, REBUILD)])
    counts = ask(
        store, "SELECT (SELECT count(*) FROM artifacts), (SELECT count(*) FROM examples), (SELECT count(*) FROM edges)"
    ).row(0)
    line("sync, nothing new", [measure(path, SYNC) for _ in range(5)])
    os.fsync = lambda _: None
    history = History(store, [16], ["arm-00"], rows=6250, seeds=5000)
    one = []
    for _ in range(5):
        history.publish("curated_corpus", Cell(16, "arm-00"), {}, {CURATED: history.curated("16/arm-00", ["x"])})
        one.append(measure(path, SYNC))
    line("sync, one new corpus of 6,250 rows", one)
    rows = [row[0] for row in ask(store, ROWS).rows()]
    line("trace of a row", [measure(path, TRACE.format(reference=row)) for row in rows])
    seeds = [
        row[0]
        for row in ask(store, "SELECT DISTINCT id FROM seeds WHERE position < 300 ORDER BY hash(id) LIMIT 5").rows()
    ]
    line("withdraw --dry-run of a seed row", [measure(path, REACH.format(seed=seed)) for seed in seeds])
    size = store.database.stat().st_size / 2**20
    print(
        f"\n{counts[0]:,} artifacts, {counts[1]:,} example rows, {counts[2]:,} edges; lineage.duckdb has {size:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
