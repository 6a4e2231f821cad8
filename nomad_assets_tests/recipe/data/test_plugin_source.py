"""A source that is a function: its records go through the validation of files, and what it raises names it."""

from pathlib import Path

import pytest

from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.sources import read_source
from nomad_assets_tests.plugin_files import write_plugin


def source(folder: Path, body: str) -> str:
    write_plugin(folder, f"def rows(**options):\n    {body}\n")
    return f"python:{folder}/mine.py:rows"


def test_records_are_recognised_filtered_and_limited(tmp_path: Path) -> None:
    body = (
        "return [{'question': f'What is {n}?', 'answer': f'<<{n}>>{n}', 'part': n % 2} for n in range(options['most'])]"
    )
    path = source(tmp_path, body)
    rows = read_source(path, where={"part": [1]}, limit=2, options={"most": 9})
    assert len(rows.rows) == 2 and all(row.number % 2 == 0 for row in rows.rows)
    assert rows.formats == {"question + answer": 4}
    assert rows.rows[0].response == str(rows.rows[0].number - 1), "the calculator's marks go"
    assert rows.rows[0].source == f"{tmp_path.name}/mine.py:rows"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("yield {'prompt': 'a', 'response': 'b'}; raise OSError('the line is down')", "path = '{path}': it raised OSError: the line is down (after row 1)"),
        ("return 3", "path = '{path}': it raised TypeError: 'int' object is not iterable (with the options {{}})"),
        ("return options['table']", "path = '{path}': it raised KeyError: 'table' (with the options {{}})"),
        ("yield ['a']", "{path} row 1: expected an object with named fields, found list"),
        ("yield {'prompt': 'a', 'response': ''}", "{path} row 1: the response is empty"),
        ("yield {'prompt': 'a'}", "{path} row 1: no recognised format in fields ['prompt']"),
        ("yield from [{'id': 1, 'prompt': 'a', 'response': 'b'}] * 2", "{path} row 2: id '1' is already used in {path} row 1"),
        ("yield from ()", "{path}: no usable rows; give at least one row"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_source_and_the_row(tmp_path: Path, body: str, words: str) -> None:
    path = source(tmp_path, body)
    with pytest.raises(NomadError) as caught:
        read_source(path)
    assert str(caught.value).startswith(words.format(path=path))


def test_what_cannot_be_called_is_no_source(tmp_path: Path) -> None:
    write_plugin(tmp_path, "rows = [{'prompt': 'a', 'response': 'b'}]\n")
    with pytest.raises(NomadError, match="it is list, not a function"):
        read_source(f"python:{tmp_path}/mine.py:rows")
