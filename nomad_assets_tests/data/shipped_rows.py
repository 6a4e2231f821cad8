"""The rows of the files that ship."""

import json
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"
SIDES = ("seed", "benchmark")


@cache
def rows(kind: str, side: str) -> list[dict]:
    text = (DATA / side / f"{kind}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
