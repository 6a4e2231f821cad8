"""Curation speed against datatrove, text-dedup and semhash, on a corpus with planted repeats, copies and contamination.

python benchmarks/curation.py ROWS [--rounds 5] [--only datatrove]

The rules that the peers have too: exact and near repeats, copies of seed rows, benchmark questions. Timed from reading
the tables to the verdicts on disk. `found` is the share of planted rows that were dropped, `wrongly` that of clean rows.
"""

import sys
from statistics import mean

from harness import HERE, OURS, WORK, Contender, arguments, compare, report
from planted import write_corpus

sys.path.insert(0, str(HERE / "contenders"))
from agreement import agreement

CONTENDERS = [
    Contender(OURS, "nomad_curation"),
    Contender("datatrove, tuned", "datatrove_dedup", "datatrove", {"variant": "best"}),
    Contender("datatrove as documented", "datatrove_dedup", "datatrove", {"variant": "documented"}),
    Contender("text-dedup", "text_dedup_minhash", "text_dedup", {"variant": "best"}),
    Contender("semhash", "semhash_dedup", "semhash"),
]
PLANTED = ("exact_repeat", "near_repeat", "seed_copy", "near_seed_copy", "contaminated")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("rows", type=int)
    options = parser.parse_args()
    folder = WORK / "planted" / str(options.rows)
    if not (folder / "truth.parquet").is_file():
        write_corpus(folder, options.rows, 7)
    job = {"corpus": str(folder), "threshold": 0.8, "variant": "best", "band": False}
    table = f"curation-{options.rows}"
    truth = str(folder / "truth.parquet")
    runs = compare(
        table, CONTENDERS, job, options,
        lambda run: {"agreement": agreement(run["verdicts"], truth)},
    )  # fmt: skip
    more = {
        "found": lambda run: mean(run["agreement"][kind] for kind in PLANTED),
        "wrongly": lambda run: run["agreement"]["clean_dropped"],
        "seconds": lambda run: run["seconds"],
        "peak MiB": lambda run: run["tree_peak_mib"],
    }
    print(report(table, runs, "rows/s", lambda run: run["rows"] / run["seconds"], more))


if __name__ == "__main__":
    main()
