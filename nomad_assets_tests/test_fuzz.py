"""Profiles of any content: a named error or a profile whose artifacts stay in the store's folder.

`NOMAD_FUZZ_EXAMPLES` sets the number of inputs of a cheap property (default 200, the same ones in every run).
"""

import copy
import datetime
import json
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomad_assets.cells import Over
from nomad_assets.errors import MAX_LINE, MAX_LINES, NomadError, cut, printable, shown
from nomad_assets.grid import Grid
from nomad_assets.profile.load import load_profile
from nomad_assets.profile.profile import Profile
from nomad_assets.store.home import store_of
from nomad_assets.wiring.partitions import Partitions, partition_key

EXAMPLES = int(os.environ.get("NOMAD_FUZZ_EXAMPLES", 200))
FIXED = "NOMAD_FUZZ_EXAMPLES" not in os.environ


def examples(share: float = 1.0) -> settings:
    """Settings for a share of the examples: 1 for a property that takes about a millisecond."""
    return settings(
        max_examples=max(1, int(EXAMPLES * share)),
        deadline=None,
        derandomize=FIXED,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# Characters that a terminal, a file system or a tokenizer may act on come up more often than by chance.
ODD = "\0\a\b\t\n\r\x1b\x7f\x85\xa0\u061c\u200b\u200d\u2028\u202e\u2066\u2069\ufe0f\ufeff\ufffd\U0001f469\U000e0001/\\.|:-"
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(ODD), max_size=30)
names = texts | st.sampled_from(
    ["", ".", "..", "../x", "a/b", "/etc", "CON", "a|b", "-x", "a\n", "v000001", "masked", "MASKED", "a-s0", "é", "a" * 64, "a" * 300]
)  # fmt: skip
scalars = (
    names
    | st.booleans()
    | st.integers()
    | st.integers(-3, 40)
    | st.sampled_from(
        [0, 1, 2**31, 2**63, 2**64, 10**400, "a" * 5000, "hf://..", "hf://a/b", "hf://\u202e", "/dev/zero"]
    )
    | st.floats()
    | st.dates()
    | (st.datetimes() | st.times()).map(lambda moment: moment.replace(fold=0))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)
BASE = {
    "name": "mine",
    "seed": 3,
    "seeds": {"sources": [{"path": "seeds.jsonl", "where": {"difficulty": [1, "a", True]}, "limit": 5}]},
    "benchmarks": {
        "trivia": {"source": {"path": "questions.jsonl"}, "rule": "triviaqa", "max_new_tokens": 8},
        "hub": {"task": "gsm8k"},
    },
    "base_model": {"source": "tiny-random", "chat_template": "chatml", "dtype": "float32"},
    "grid": {"train_sizes": [16, 8], "prompt_loss": {"masked": 0.0, "unmasked": 1.0}, "replicates": 2},
    "teacher": {"epochs": 1, "learning_rate": 1e-3, "batch_size": 4},
    "synthesis": {"target": 12, "max_attempts": 48, "prompt": {"temperature": 0.5}, "answerer": "smollm2-135m"},
    "curation": {"keep": 8, "band_quantiles": [0.1, 0.9], "embedder": "all-MiniLM-L6-v2"},
    "student": {"seeds": 0},
    "openlineage": "events.jsonl",
}


def toml(value: object) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)


def document(data: dict) -> str:
    return "".join(f"{toml(key)} = {toml(item)}\n" for key, item in data.items())


def places(value: object) -> list[tuple[dict | list, object]]:
    """Every (container, key) at any depth."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@st.composite
def profiles(draw: st.DrawFn) -> dict:
    """A valid profile with one to three places changed, removed, added or renamed."""
    data = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        found = places(data)
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "rename"]))
        if change == "replace" or isinstance(container, list):
            container[key] = draw(values)
        elif change == "add":
            container[draw(names)] = draw(values)
        else:
            value = container.pop(key)
            if change == "rename":
                container[draw(names)] = value
    return data


def is_plain(message: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in message) and len(message) < 20 * MAX_LINE * MAX_LINES


def load_or_fault(path: Path) -> Profile | None:
    """The profile, or None where it ends in an error of which every line names the file."""
    try:
        return load_profile(str(path))
    except NomadError as error:
        message = str(error)
        assert is_plain(message)
        assert all(line.startswith((f"{path}: ", "[")) for line in message.splitlines()), message
        return None


def check(profile: Profile, home: Path) -> None:
    """Cells and keys both ways, and every artifact inside the store's own folder."""
    grid, store = Grid(profile), store_of(profile.name)
    partitions = Partitions(grid)
    home = home.resolve()
    assert store.root.resolve().parent == home
    assert len({cell.label for cell in grid.cells}) == len(grid.cells)
    for cell in [*grid.members(Over.GRID), *grid.sizes[:20], *grid.cells[:20]]:
        key = partition_key(cell)
        assert partitions.cell(None if key is None else str(key)) == cell
        for asset in grid.graph:
            assert store.place(asset, cell).resolve().is_relative_to(store.root / asset)
    for cell in grid.cells[:20]:
        assert grid.parse(cell.label) == cell
        assert len(os.fsencode(cell.arm)) < 200 and len(str(cell.train_size)) < 200
    json.dumps(profile.model_dump(mode="json"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "lake"


# Profiles.


def test_the_profile_that_is_changed_loads(tmp_path, home):
    path = tmp_path / "mine.toml"
    path.write_text(document(BASE), encoding="utf-8")
    check(load_profile(str(path)), home)


@examples()
@given(data=profiles())
def test_a_profile_with_any_value_anywhere(tmp_path, home, data):
    path = tmp_path / "mine.toml"
    path.write_text(document(data), encoding="utf-8")
    profile = load_or_fault(path)
    if profile is not None:
        check(profile, home)


@examples()
@given(name=names, arm=names, benchmark=names, size=st.integers(), replicates=st.integers(-1, 12))
def test_names_and_sizes_never_leave_the_store(tmp_path, home, name, arm, benchmark, size, replicates):
    data = copy.deepcopy(BASE)
    data["name"], data["grid"]["train_sizes"], data["grid"]["replicates"] = name, [size], replicates
    data["grid"]["prompt_loss"][arm] = data["grid"]["prompt_loss"]["masked"]
    data["benchmarks"][benchmark] = data["benchmarks"]["hub"]
    path = tmp_path / "mine.toml"
    path.write_text(document(data), encoding="utf-8")
    profile = load_or_fault(path)
    if profile is not None:
        check(profile, home)


@examples()
@given(content=st.binary(max_size=300) | texts.map(str.encode))
def test_any_bytes_as_a_profile(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    assert load_or_fault(path) is None


@examples()
@given(
    start=st.integers(0, 900),
    length=st.integers(0, 60),
    put=texts | st.sampled_from(['"', "]", "=", "[[", "'''", "\\"]),
)
def test_a_profile_with_a_part_torn_out(tmp_path, home, start, length, put):
    text = document(BASE)
    path = tmp_path / "mine.toml"
    path.write_text(text[:start] + put + text[start + length :], encoding="utf-8")
    profile = load_or_fault(path)
    if profile is not None:
        check(profile, home)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("seed = " + "9" * 5000, "not a valid TOML file: Exceeds the limit"),
        ("sed = '" + "x" * 200_000 + "'", "sed = 'xxxxx"),
        ("'\\u001b]0;x\\u202e' = 1".replace("'", '"'), "'\\x1b]0;x\\u202e' = 1: unknown key"),
    ],
)  # fmt: skip
def test_profiles_that_would_fill_the_screen(tmp_path, content, expected):
    path = tmp_path / "mine.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NomadError) as caught:
        load_profile(str(path))
    message = str(caught.value)
    assert f"{path}: {expected}" in message and is_plain(message) and len(message) < 5000


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("grid", {"prompt_loss": {"Masked": 0.0, "masked": 1.0}}, "arm names ['Masked', 'masked'] differ only in upper and lower case"),
        ("grid", {"prompt_loss": {"v000001": 0.0}}, "arm name 'v000001': v and a number name versions of artifacts"),
        ("grid", {"prompt_loss": {"a\x1b": 0.0}}, "arm name 'a\\x1b': use letters, digits"),
        ("grid", {"train_sizes": [10**300]}, "Input should be less than or equal to 2147483647"),
        ("grid", {"replicates": 1001}, "grid.replicates = 1001: Input should be less than or equal to 1000"),
        ("base_model", {"source": "data\train"}, "base_model.source = 'data\\train': give a path or address without control characters"),
        ("base_model", {"source": ""}, "base_model.source = '': give a path or address"),
        ("seeds", {"sources": [{"path": "a", "where": {"k": [2**63]}}]}, "seeds.sources.0.where.k.0"),
    ],
)  # fmt: skip
def test_faults_that_chance_seldom_finds(tmp_path, section, change, expected):
    data = copy.deepcopy(BASE)
    data[section].update(change)
    path = tmp_path / "mine.toml"
    path.write_text(document(data), encoding="utf-8")
    with pytest.raises(NomadError) as caught:
        load_profile(str(path))
    assert expected in str(caught.value) and str(caught.value).startswith(f"{path}: {section}")


def test_a_profile_is_never_something_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "circle.toml").symlink_to(tmp_path / "circle.toml")
    for name in ("pipe.toml", "folder.toml", "circle.toml"):
        with pytest.raises(NomadError, match=r"^profile .*: no file ") as caught:
            load_profile(str(tmp_path / name))
        assert is_plain(str(caught.value))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails when it is read (Linux)")
def test_a_profile_that_cannot_be_read():
    with pytest.raises(NomadError, match=r"^/proc/\d+/mem: could not be read: Input/output error$"):
        load_profile("/proc/self/mem")


@examples(0.2)
@given(data=values.filter(lambda value: isinstance(value, dict)))
def test_the_writer_of_these_tests_writes_toml(data):
    assert repr(tomllib.loads(document(data))) == repr(data)


# Cells and keys.


@examples()
@given(
    text=texts
    | st.from_regex(r"[0-9٠-٩]{1,3}[/|](un)?masked(-s[01])?", fullmatch=True)
    | st.just("9" * 5000 + "/masked-s0")
)
def test_any_text_is_a_cell_of_the_grid_or_an_error(text):
    grid = Grid(Profile.model_validate({**BASE, "folder": Path("/")}))
    for read in (grid.parse, Partitions(grid).cell):
        try:
            assert read(text) in [*grid.cells, *grid.sizes]
        except NomadError as error:
            assert is_plain(str(error)) and len(str(error)) < 4 * MAX_LINE


@pytest.mark.parametrize(
    "text", ["٨/masked-s0", "08/masked-s0", "+8/masked-s0", "8_/masked-s0", "9" * 5000 + "/masked-s0"]
)
def test_a_size_is_written_in_one_way(text):
    grid = Grid(Profile.model_validate({**BASE, "folder": Path("/")}))
    with pytest.raises(NomadError, match="unknown train size"):
        grid.parse(text)
    with pytest.raises(NomadError, match="not in this profile's grid: sizes 8, 16, arms masked"):
        Partitions(grid).cell("|".join(text.split("/")[::-1]))


# Errors.


@examples()
@given(message=st.text(st.characters() | st.sampled_from(ODD)), times=st.sampled_from([1, 7, 1000]))
def test_errors_are_short_and_hold_nothing_a_terminal_acts_on(message, times):
    error = NomadError(message * times, [{"row": message * times, "number": 3}])
    assert is_plain(str(error)) and is_plain(error.cases[0]["row"])
    assert error.cases[0]["number"] == 3
    str(error).encode()


def test_short_plain_messages_stay_as_they_are():
    message = "data/größe.jsonl row 3: the prompt is empty;\n\tgive one 漢字 😀"
    assert str(NomadError(message)) == message
    assert str(NomadError("a\x1b[2J\u202eb\ud800")) == "a\\x1b[2J\\u202eb\\ud800"
    assert printable("a\r\n") == "a\\r\n"


def test_long_messages_keep_their_start_and_end():
    message = str(NomadError("start " + "x" * 10**6 + " end"))
    assert message.startswith("start xxx") and message.endswith("xxx end") and len(message) < MAX_LINE + 50
    assert f"[{10**6 + 10 - MAX_LINE} characters left out]" in message
    lines = str(NomadError("\n".join(map(str, range(1000))))).split("\n")
    assert (len(lines), lines[0], lines[-1]) == (MAX_LINES, "0", "999")
    assert lines[MAX_LINES // 2] == f"[{1000 - MAX_LINES + 1} lines left out]"
    assert cut("abc", 3) == "abc"


def test_any_value_can_be_shown():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "[[[[[...]]]]]"
    assert len(shown("x" * 10**6)) < 300 and len(shown({str(n): "x" * 1000 for n in range(1000)})) < 3000
    assert (shown("a"), shown(["a", 1]), shown({"k": [2]})) == ("'a'", "['a', 1]", "{'k': [2]}")
