"""A user's engine: what it is opened with, and what happens when it fails."""

from pathlib import Path

import pytest

from nomad_assets.errors import NomadError
from nomad_assets.plugins import locate
from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Engine, Generation, Request, choose_engine, open_engine
from nomad_assets_tests.plugin_files import write_plugin

SOURCE = """
from nomad_assets.recipe.generation.engine import Generation

class Counting:
    def __init__(self, folder, needs):
        self.made = (folder.name, needs.batch_size, needs.memory_share)

    def generate(self, requests, sampling, stop_ids, on_progress):
        on_progress(len(requests))
        return (Generation([sampling.max_new_tokens], 2 in stop_ids) for _ in requests)

    def close(self):
        self.made = None

def function(folder, needs):
    return Counting(folder, needs)

class Opened:
    @classmethod
    def open(cls, folder, needs):
        return Counting(folder, needs)

class Dies(Counting):
    def generate(self, requests, sampling, stop_ids, on_progress):
        raise MemoryError("full")

class Short(Counting):
    def generate(self, requests, sampling, stop_ids, on_progress):
        return []

class Texts(Counting):
    def generate(self, requests, sampling, stop_ids, on_progress):
        return ["text" for _ in requests]

class Mute:
    def __init__(self, folder, needs): ...

def broken(folder, needs):
    raise OSError("no such weights")

number = 3
"""
REQUESTS = [Request([1, 2], 5), Request([3], 6)]


def opened(folder: Path, name: str) -> Engine:
    write_plugin(folder, SOURCE)
    use = f"python:mine.py:{name}"
    plugin = locate("engines", use, folder, "synthesis.engine")
    return open_engine(use, folder, batch_size=4, max_length=64, pad_id=0, memory_share=0.5, plugin=plugin)


@pytest.mark.parametrize("name", ["Counting", "function", "Opened"])
def test_a_class_or_function_gives_an_engine(tmp_path: Path, name: str) -> None:
    engine, told = opened(tmp_path, name), []
    assert engine.engine.made == (tmp_path.name, 4, 0.5)
    assert (engine.name, engine.precision) == (name, "unknown")
    assert engine.generate(REQUESTS, Sampling(max_new_tokens=9), {2}, told.append) == [Generation([9], True)] * 2
    assert told == [2]
    engine.close()
    assert engine.engine.made is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Dies", "it raised MemoryError: full (on 2 requests, the first with the seed 5)"),
        ("Short", "it gave 0 texts for 2 requests"),
        ("Texts", "it gave 'text' for the request with the seed 5; give a Generation of ints"),
        ("Mute", "it gave Mute, which has no method 'generate'"),
        ("broken", "it raised OSError: no such weights (while it opened "),
        ("number", "it is int, not a function or class that takes (folder, needs)"),
    ],
)
def test_what_is_wrong_names_the_engine(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(NomadError) as caught:
        opened(tmp_path, name).generate(REQUESTS, Sampling(), set())
    assert str(caught.value).startswith(f"synthesis.engine = 'python:mine.py:{name}': {words}")


def test_a_plug_in_is_taken_as_said_and_not_opened_by_its_name_alone(tmp_path: Path) -> None:
    assert choose_engine("python:mine.py:Counting", 10**9) == "python:mine.py:Counting"
    with pytest.raises(NomadError, match=r"synthesis\.engine = 'parrot': an engine that is a plug-in must be located"):
        open_engine("parrot", tmp_path, batch_size=1, max_length=8, pad_id=0)
