"""Reading rows: every format and ending, and every way in which a file can be wrong."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.sources import Row, parse_hub, read_source, source_name

REAL_DATA = Path(__file__).parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"the real data sets are not beside the checkout: no folder {REAL_DATA}"
)
PAIR = {"prompt": "Who wrote Faust?", "response": "Goethe"}


@pytest.fixture
def write(tmp_path: Path):
    """Writes rows as JSON lines, or bytes as they are, and gives the path."""

    def write(content: list | bytes, name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "\n".join(json.dumps(row) for row in content).encode()
        path.write_bytes(content)
        return str(path)

    return write


def pairs(source: str, **options) -> list[tuple[str, str]]:
    return [(row.prompt, row.response) for row in read_source(source, **options).rows]


def problem(source: str, **options) -> str:
    with pytest.raises(NomadError) as caught:
        read_source(source, **options)
    return str(caught.value)


# Formats.


def test_prompt_and_response(write):
    path = write([{**PAIR, "id": 7, "topic": "books"}])
    assert read_source(path).rows == [Row(source_name(path), 1, "7", "Who wrote Faust?", "Goethe")]


def test_alpaca_without_input(write):
    assert pairs(write([{"instruction": "Name a colour.", "input": "", "output": "Red"}])) == [
        ("Name a colour.", "Red")
    ]
    assert pairs(write([{"instruction": "Name a colour.", "output": "Red"}])) == [("Name a colour.", "Red")]
    assert pairs(write([{"instruction": "Name a colour.", "input": None, "output": "Red"}])) == [
        ("Name a colour.", "Red")
    ]


def test_alpaca_with_input(write):
    assert pairs(write([{"instruction": "Translate.", "input": "Hund", "output": "dog"}])) == [
        ("Translate.\n\nHund", "dog")
    ]


def test_gsm8k_as_in_the_worked_example(write):
    row = {"question": "Tom has 2 bags of 3.", "answer": "2*3 = <<2*3=6>>6\n#### 6"}
    (read,) = read_source(write([row])).rows
    assert (read.prompt, read.response, read.answers) == ("Tom has 2 bags of 3.", "2*3 = 6\n#### 6", ())


def test_calculator_marks_go_and_other_angle_brackets_stay(write):
    row = {"question": "q", "answer": "<<1+1=2>>2 << 3, a<b>c <<48/2=24.0>>24"}
    assert pairs(write([row])) == [("q", "2 << 3, a<b>c 24")]


def test_question_with_answers(write):
    (row,) = read_source(write([{"question": "Longest river?", "answers": ["The Nile ", "", "Nile"]}])).rows
    assert (row.response, row.answers) == ("The Nile", ("The Nile", "Nile"))


def test_question_with_one_answer_as_text(write):
    (row,) = read_source(write([{"question": "Longest river?", "answers": "Nile"}])).rows
    assert (row.response, row.answers) == ("Nile", ("Nile",))


def test_triviaqa_keeps_its_accepted_answers(write):
    answer = {"value": "Sunset Boulevard", "aliases": ["Sunset Blvd", "Sunset Boulevard"], "type": "WikipediaEntity"}
    (row,) = read_source(write([{"question": "Which musical?", "question_id": "tc_2", "answer": answer}])).rows
    assert (row.response, row.answers) == ("Sunset Boulevard", ("Sunset Boulevard", "Sunset Blvd"))


def test_messages(write):
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert pairs(write([{"messages": chat}])) == [("Hi", "Hello")]


def test_chats_with_several_turns_are_left_out_and_counted(write):
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
    chats = [
        [user, assistant, user, assistant],
        [user, assistant],
        [{"role": "system", "content": "Be brief."}, user, assistant],
        [user],
        "Hi",
    ]
    path = write([{"messages": chat} for chat in chats])
    read = read_source(path)
    assert [row.number for row in read.rows] == [2]
    assert read.left_out == [
        {"source": source_name(path), "row": number, "reason": "not_single_turn", "evidence": "messages"}
        for number in (1, 3, 4, 5)
    ]


def test_white_space_around_a_text_goes_and_line_ends_are_plain(write):
    assert pairs(write([{"prompt": " a\r\nb \n", "response": "\tc "}])) == [("a\nb", "c")]


def test_ids_depend_on_content_alone():
    first, second = Row("a", 1, None, "p", "r"), Row("b", 9, "x", "p", "r", ("r",))
    assert first.id == second.id
    assert re.fullmatch(r"[0-9a-f]{16}", first.id)
    assert Row("a", 1, None, "pr", "").id != Row("a", 1, None, "p", "r").id


# Endings.


def test_json(write):
    assert pairs(write(json.dumps([PAIR, {"question": "q", "answer": "a"}]).encode(), "rows.json")) == [
        tuple(PAIR.values()),
        ("q", "a"),
    ]


def test_jsonl_with_blank_lines_and_windows_line_ends(write):
    line = json.dumps(PAIR).encode()
    assert pairs(write(line + b"\r\n\r\n" + line.replace(b"Goethe", b"He") + b"\r\n")) == [
        ("Who wrote Faust?", "Goethe"),
        ("Who wrote Faust?", "He"),
    ]


def test_jsonl_with_unicode_line_separators_inside_a_text(write):
    row = {"prompt": "a\u2028b\u0085c", "response": "d"}
    assert pairs(write(json.dumps(row, ensure_ascii=False).encode())) == [("a\u2028b\u0085c", "d")]


def test_parquet_with_lists_and_structs(write, tmp_path):
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"question": ["q1", "q2"], "answers": [["a", "b"], ["c"]]}).write_parquet(path)
    assert [(row.prompt, row.answers) for row in read_source(str(path)).rows] == [("q1", ("a", "b")), ("q2", ("c",))]
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    pl.DataFrame({"messages": [chat]}).write_parquet(path)
    assert pairs(str(path)) == [("Hi", "Hello")]
    pl.DataFrame({"question": ["q"], "answer": [{"value": "v", "aliases": ["v", "w"]}]}).write_parquet(path)
    assert read_source(str(path)).rows[0].answers == ("v", "w")


def test_parquet_whose_name_looks_like_a_pattern(tmp_path):
    path = tmp_path / "rows[1]*.parquet"
    pl.DataFrame([PAIR]).write_parquet(tmp_path / "plain.parquet")
    (tmp_path / "plain.parquet").rename(path)
    assert pairs(str(path)) == [tuple(PAIR.values())]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_quotes_and_line_breaks(tmp_path, end):
    path = tmp_path / "rows.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "prompt", "response"], lineterminator=end)
        writer.writeheader()
        writer.writerow({"id": "a", "prompt": 'Say "hi",\nplease', "response": "hi"})
        writer.writerow({"id": "b", "prompt": "Größe?", "response": "2 m"})
    assert pairs(str(path)) == [('Say "hi",\nplease', "hi"), ("Größe?", "2 m")]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0b", "\x0c"])
def test_csv_with_other_line_separators_inside_a_text(write, separator):
    assert pairs(write(f"prompt,response\na{separator}b,c\n".encode(), "rows.csv")) == [(f"a{separator}b", "c")]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_a_byte_order_mark_is_no_part_of_the_text(write, name):
    text = {
        "rows.jsonl": json.dumps(PAIR),
        "rows.json": json.dumps([PAIR]),
        "rows.csv": "prompt,response\nWho wrote Faust?,Goethe\n",
    }[name]
    assert pairs(write(b"\xef\xbb\xbf" + text.encode(), name)) == [tuple(PAIR.values())]


def test_a_folder_is_read_in_the_order_of_its_names(write, tmp_path):
    write([{"prompt": "third", "response": "r"}], "folder/sub/c.jsonl")
    write(b"prompt,response\nsecond,r\n", "folder/b.csv")
    write([{"prompt": "first", "response": "r"}], "folder/a.jsonl")
    write(b"read me", "folder/README.md")
    read = read_source(str(tmp_path / "folder"))
    assert [(row.number, row.prompt) for row in read.rows] == [(1, "first"), (2, "second"), (3, "third")]


# where and limit.


def test_where(write):
    path = write(
        [
            {**PAIR, "prompt": f"p{n}", "difficulty": n, "topic": topic}
            for n, topic in ((1, "x"), (2, "x"), (3, "y"), (1, "y"))
        ]
    )
    assert [p for p, _ in pairs(path, where={"difficulty": [1, 2]})] == ["p1", "p2", "p1"]
    assert [row.number for row in read_source(path, where={"difficulty": [1, 3], "topic": ["y"]}).rows] == [3, 4]


def test_where_on_a_missing_field(write):
    path = write([{**PAIR, "level": 1}, PAIR])
    assert problem(path, where={"level": [1]}) == f"{path} row 2: `where` asks for field 'level', which this row lacks"


def test_where_that_keeps_nothing(write):
    path = write([{**PAIR, "level": 1}])
    message = problem(path, where={"level": [2]})
    assert (
        message
        == f"{path}: no usable rows (with where = {{'level': [2]}}); give at least one row with a prompt and a response"
    )


def test_limit_takes_the_same_rows_whatever_their_order(write):
    rows = [{"prompt": f"p{n}", "response": "r"} for n in range(40)]
    first = pairs(write(rows), limit=7)
    assert len(first) == 7
    assert [prompt for prompt, _ in first] == sorted((prompt for prompt, _ in first), key=lambda p: int(p[1:])), (
        "in file order"
    )
    assert set(pairs(write(rows[::-1], "reversed.jsonl"), limit=7)) == set(first)
    assert set(first) < set(pairs(write(rows), limit=12))
    assert len(pairs(write(rows), limit=40)) == len(pairs(write(rows), limit=99)) == 40


# hub addresses.


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("hf://openai/gsm8k", ("openai/gsm8k", None, None, None)),
        ("hf://openai/gsm8k@main", ("openai/gsm8k", "main", None, None)),
        ("hf://openai/gsm8k#main/train", ("openai/gsm8k", None, "main", "train")),
        ("hf://a-b/c.d_e@refs/pr/1#rc.nocontext/validation", ("a-b/c.d_e", "refs/pr/1", "rc.nocontext", "validation")),
    ],
)
def test_hub_addresses(address, parts):
    assert parse_hub(address) == dict(zip(("name", "revision", "config", "split"), parts, strict=True))


@pytest.mark.parametrize(
    "address", ["hf://gsm8k", "hf://a/b/c", "hf://a/b#train", "hf://a/b@", "hf://", "https://hf.co/a/b", "hf://a/b c"]
)
def test_other_shapes_of_address(address):
    with pytest.raises(
        NomadError,
        match=f"^{re.escape(address)}: not of the form {re.escape('hf://owner/name[@revision][#config/split]')}$",
    ):
        parse_hub(address)


def test_a_hub_data_set_that_cannot_be_loaded():
    code = (
        "from nomad_assets.errors import NomadError\nfrom nomad_assets.recipe.data.sources import read_source\n"
        "try: read_source('hf://nobody/nothing#main/train')\nexcept NomadError as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stdout.startswith("hf://nobody/nothing#main/train: could not be loaded through `datasets`: "), run.stderr


def test_short_names():
    assert source_name("/data/seed/trivia.jsonl") == "seed/trivia.jsonl"
    assert source_name("rows.csv") == "rows.csv"
    assert source_name("hf://a/b#c/d") == "hf://a/b#c/d"


# Faults.


def test_missing(tmp_path):
    assert problem(f"{tmp_path}/none.jsonl") == f"{tmp_path}/none.jsonl: no such file or folder"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_empty_file(write, name):
    path = write(b"", name)
    assert problem(path) == f"{path}: the file is empty"


@pytest.mark.parametrize(
    ("name", "content"), [("rows.jsonl", b"\n\n"), ("rows.json", b"[]"), ("rows.csv", b"prompt,response\n")]
)
def test_a_file_without_rows(write, name, content):
    path = write(content, name)
    assert problem(path) == f"{path}: no usable rows; give at least one row with a prompt and a response"


def test_empty_folder(write, tmp_path):
    write(b"x", "folder/notes.txt")
    assert (
        problem(f"{tmp_path}/folder")
        == f"{tmp_path}/folder: the folder holds no file ending in .jsonl, .json, .parquet, .csv"
    )


def test_an_empty_file_in_a_folder_is_named(write, tmp_path):
    write([PAIR], "folder/a.jsonl")
    path = write(b"", "folder/b.jsonl")
    assert problem(f"{tmp_path}/folder") == f"{path}: the file is empty"


def test_wrong_ending(write):
    path = write([PAIR], "rows.txt")
    assert problem(path) == f"{path}: unknown ending '.txt'; accepted: .jsonl, .json, .parquet, .csv"


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.parquet", PNG, "not a Parquet file ("),
        ("rows.parquet", b'{"prompt": "a", "response": "b"}', "not a Parquet file ("),
        ("rows.parquet", b"PAR1" + bytes(40) + b"PAR1", "not a Parquet file ("),
        (
            "rows.json",
            b'{"prompt": "a", "response": "b"}',
            "expected a JSON list of objects; for one object per line use the ending .jsonl",
        ),
        ("rows.json", b'{"prompt": "a"}\n{"prompt": "b"}', "not JSON (Extra data: line 2 column 1"),
        ("rows.json", b"[" * 100_000, "not JSON ("),
        ("rows.csv", b"prompt,response\na\n", "a line has another number of fields than the header: {'prompt': 'a'"),
        (
            "rows.csv",
            b"prompt,response\na,b,c\n",
            "a line has another number of fields than the header: {'prompt': 'a'",
        ),
        ("rows.csv", b'prompt,response\n"a,b\n', "not CSV (unexpected end of data)"),
    ],
)
def test_content_that_is_not_what_its_ending_says(write, name, content, expected):
    path = write(content, name)
    message = problem(path)
    assert message.startswith(f"{path}: {expected}"), message


def test_a_truncated_parquet_file(tmp_path):
    path = tmp_path / "rows.parquet"
    pl.DataFrame([PAIR] * 500).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert problem(str(path)).startswith(f"{path}: not a Parquet file (")


def test_a_json_list_in_a_jsonl_file(write):
    path = write(json.dumps([PAIR]).encode())
    assert problem(path) == f"{path} row 1: expected an object with named fields, found list"
    path = write(json.dumps([PAIR], indent=1).encode())
    assert problem(path).startswith(f"{path} line 1: not JSON (")
    assert problem(path).endswith("; .jsonl holds one JSON object per line")


@pytest.mark.parametrize("line", [b"{", b"{'prompt': 'a'}", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"])
def test_a_line_that_is_not_json(write, line):
    path = write(json.dumps(PAIR).encode() + b"\n\n" + line)
    assert problem(path).startswith(f"{path} line 3: not JSON ("), problem(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_text_that_is_not_utf8(write, name):
    path = write(b"prompt,response\nok,ok\ncaf\xe9,no\n", name)
    message = f"{path} line 3: not valid UTF-8 (invalid continuation byte at byte 25); save it as UTF-8"
    assert problem(path) == message


@pytest.mark.parametrize(("record", "kind"), [("text", "str"), (3, "int"), (None, "NoneType"), ([1], "list")])
def test_a_row_that_is_no_object(write, record, kind):
    path = write([PAIR, record])
    assert problem(path) == f"{path} row 2: expected an object with named fields, found {kind}"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "response": " \n"},
        {"instruction": "p", "output": ""},
        {"question": "p", "answer": "<<1+1=2>>"},
        {"question": "p", "answer": {"value": "", "aliases": []}},
        {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": ""}]},
    ],
)
def test_a_row_without_a_response(write, row):
    path = write([PAIR, row])
    assert problem(path) == f"{path} row 2: the response is empty; every row needs a prompt and a response"


def test_a_row_without_a_prompt(write):
    path = write([{"prompt": "", "response": "r"}])
    assert problem(path) == f"{path} row 1: the prompt is empty; every row needs a prompt and a response"


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (3, "int"), (["a"], "list")])
def test_a_response_that_is_no_text(write, value, kind):
    path = write([{"prompt": "p", "response": value}])
    assert problem(path) == f"{path} row 1: the response is {kind}, expected text"


def test_answers_without_an_answer(write):
    path = write([{"question": "q", "answers": ["", " "]}])
    assert problem(path).startswith(f"{path} row 1: the response is ")


def test_no_recognised_format(write):
    path = write([{"text": "t", "label": 1}])
    assert problem(path) == (
        f"{path} row 1: no recognised format in fields ['label', 'text']; accepted: prompt + response, instruction [+ input] + output, "
        "question + answer, question + answers, messages"
    )


def test_repeated_ids(write):
    path = write([{**PAIR, "id": "a"}, {**PAIR, "id": "b"}, {**PAIR, "id": "a"}])
    assert problem(path) == f"{path} row 3: id 'a' is already used in {path} row 1; ids must be unique"


def test_half_a_surrogate_pair(write):
    path = write(b'{"prompt": "\\ud83d", "response": "r"}')
    assert problem(path).startswith(f"{path} row 1: the prompt ")


def test_a_bad_row_in_a_folder_is_named_with_its_own_file(write, tmp_path):
    write([PAIR, PAIR], "folder/a.jsonl")
    path = write([PAIR, {"prompt": "p", "response": ""}], "folder/b.jsonl")
    message = problem(f"{tmp_path}/folder")
    assert path in message and "row 2" in message, message


# Real files.


@real_data
@pytest.mark.parametrize(
    ("name", "rows", "prompt", "response_end"),
    [
        ("gsm8k_train", 7473, "Natalia sold clips to 48 of her friends in April", "#### 72"),
        ("gsm8k_test", 1319, "Janet’s ducks lay 16 eggs per day.", "#### 18"),
        ("opentrivia_train", 8000, "What type of house was built using raw logs", "Log cabin"),
        ("opentrivia_test", 1000, "The paintings of Italian painter Giorgio Morandi", "La Dolce Vita"),
    ],
)
def test_real_files(name, rows, prompt, response_end):
    read = read_source(str(REAL_DATA / f"{name}.jsonl"))
    assert (len(read.rows), read.left_out) == (rows, [])
    assert read.rows[0].prompt.startswith(prompt)
    assert read.rows[0].response.endswith(response_end)
    assert not any("<<" in row.response and ">>" in row.response for row in read.rows)
    if name.startswith("opentrivia"):
        assert all(row.answers and row.answers[0] == row.response for row in read.rows)
    else:
        assert all("\n#### " in row.response for row in read.rows)
