"""Build the seed examples and benchmarks of this folder, byte for byte the same on every run.

pip install -r data/requirements.txt
python data/build_data.py            # write every file
python data/build_data.py --check    # build to a temporary folder and compare with what is shipped
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from builder import text_tasks, trivia, word_problems

HERE = Path(__file__).resolve().parent
SEED = 20250707
KINDS = {"trivia": trivia.build, "word_problems": word_problems.build, "text_tasks": text_tasks.build}


def file_names() -> list[str]:
    """Paths of the built files, relative to the output folder."""
    return [f"{side}/{kind}.jsonl" for kind in KINDS for side in ("seed", "benchmark")]


def write_all(out: Path) -> None:
    """Write every file below `out`, one JSON object a line."""
    for kind, build in KINDS.items():
        for side, rows in build(SEED).items():
            path = out / side / f"{kind}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            path.write_bytes("".join(lines).encode())


def differing_files(out: Path) -> list[str]:
    """Names of the files that are missing below `out` or not what the builder writes."""
    with tempfile.TemporaryDirectory() as folder:
        write_all(Path(folder))
        return [
            name
            for name in file_names()
            if not (out / name).is_file() or (out / name).read_bytes() != (Path(folder) / name).read_bytes()
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to or to check (default: this one)")
    parser.add_argument("--check", action="store_true", help="compare instead of writing; exit 1 on a difference")
    arguments = parser.parse_args()
    if not arguments.check:
        write_all(arguments.out)
        return 0
    differing = differing_files(arguments.out)
    for name in differing:
        print(f"{name} differs from what build_data.py writes", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
