"""What identifies the content of files and folders."""

import os
from pathlib import Path

from nomad_assets.store.digests import digest, source_digest

OF_12345 = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"


def test_the_order_of_keys_does_not_count() -> None:
    assert digest({"a": 1, "b": [2, "ü"]}) == digest({"b": [2, "ü"], "a": 1}) != digest({"a": 1, "b": ["ü", 2]})


def test_source_digest_reads_names_and_contents(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"12345")
    assert source_digest(file) == OF_12345
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jsonl").write_bytes(b"1")
    first = source_digest(folder)
    os.utime(folder / "sub" / "a.jsonl", (1, 1))
    assert source_digest(folder) == first
    (folder / "sub" / "a.jsonl").rename(folder / "sub" / "b.jsonl")
    assert source_digest(folder) != first
    (folder / "sub" / "b.jsonl").rename(folder / "sub" / "a.jsonl")
    (folder / "sub" / "a.jsonl").write_bytes(b"2")
    assert source_digest(folder) != first
