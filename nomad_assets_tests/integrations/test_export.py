"""Exported folders as other tools read them, their cards, and pushing them to a hub that stands in on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml
from typer.testing import CliRunner

from nomad_assets.cells import Cell
from nomad_assets.cli import app
from nomad_assets.errors import NomadError
from nomad_assets.integrations import export as export_module
from nomad_assets.integrations.export import _together, export
from nomad_assets.integrations.licences import hub_licence
from nomad_assets_tests.integrations.hub import TOKEN, _faults, serving

CELL = "16/unmasked"


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    profile, store = finished.grid.profile, finished.store
    out = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOMAD_HOME", str(store.root.parent))
        assert export(profile, CELL, out) == [out / "dataset", out / "student"]
    return out


@pytest.fixture
def project(finished, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The profile's file, with its store where the run left it."""
    profile, store = finished.grid.profile, finished.store
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    return profile.folder / f"{profile.name}.toml"


def command(project: Path, out: Path, *more: str) -> list[str]:
    """An export in a process of its own."""
    return [sys.executable, "-m", "nomad_assets.cli", "export", CELL, str(out), "-p", str(project), *more]


def card(folder: Path) -> tuple[dict, str]:
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_datasets_reads_the_folder(exported, finished):
    from datasets import load_dataset

    curated = pl.read_parquet(finished.store.current("curated_corpus", Cell(16, "unmasked")) / "curated.parquet")
    kept = load_dataset(str(exported / "dataset"), split="train")
    assert kept.column_names == ["id", "prompt", "response", "relevance", "novelty", "nearest_seed"]
    assert list(kept["id"]) == curated.filter(verdict="kept")["id"].to_list()
    everything = load_dataset(str(exported / "dataset"), "all_rows", split="train")
    assert everything.num_rows == curated.height and set(everything.column_names) == set(curated.columns)


def test_the_dataset_card_says_what_was_done_and_removed(exported, finished):
    store = finished.store
    head, text = card(exported / "dataset")
    (kept,) = (exported / "dataset" / "data").glob("kept-*.parquet")
    assert head["configs"][0] == {"config_name": "kept", "default": True, "data_files": f"data/{kept.name}"}
    assert head["license"] == "other" and "synthetic" in head["tags"]
    artifact = store.current("curated_corpus", Cell(16, "unmasked"))
    curated = pl.read_parquet(artifact / "curated.parquet")
    for reason, rows in curated.filter(verdict="dropped").group_by("reason").len().iter_rows():
        assert f"| {reason} | {rows} | " in text
    assert f"`{artifact.manifest.artifact_id}`" in text and "`seed_examples/" in text
    assert "cc-by-4.0" in text and "apache-2.0" in text
    assert "trivia, word_problems" in text and "NormSim" in text
    assert '"prompt_loss_weight": 1.0' in text and "on the prompt as well as on the response" in text


def test_transformers_reads_the_student_and_answers(exported):
    from transformers import pipeline

    ask = pipeline("text-generation", str(exported / "student"), device="cpu")
    answer = ask([{"role": "user", "content": "What is 2 + 2?"}], max_new_tokens=4)
    assert answer[0]["generated_text"][-1]["role"] == "assistant"
    head, text = card(exported / "student")
    assert head["library_name"] == "transformers" and head["license"] == "unknown"
    assert "| trivia | exact_match |" in text and "seed-only control" in text and "untouched base" in text


def test_the_hubs_library_reads_the_scores_of_the_student(exported, finished):
    from huggingface_hub import ModelCard

    data = ModelCard.load(exported / "student" / "README.md").data
    scores = pl.read_parquet(finished.store.current("student_scores", Cell(16, "unmasked")) / "scores.parquet")
    found = [(r.dataset_name, r.dataset_type, r.metric_type, r.metric_value) for r in data.eval_results]
    assert len(found) > 4 and found == [
        (name, f"{name}.jsonl", metric, mean)
        for name, metric, mean in scores.select("benchmark", "metric", "mean").iter_rows()
    ]


def test_what_is_there_is_not_touched(exported, project):
    before = sorted((path, path.stat().st_mtime_ns) for path in exported.rglob("*"))
    done = CliRunner().invoke(app, ["export", CELL, str(exported), "-p", str(project)])
    assert done.exit_code == 2 and "exists already" in done.stderr
    assert sorted((path, path.stat().st_mtime_ns) for path in exported.rglob("*")) == before


def test_only_an_export_is_replaced(finished, tmp_path, monkeypatch):
    profile, store = finished.grid.profile, finished.store
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.jsonl").write_text("{}")
    with pytest.raises(NomadError, match="not what an export wrote"):
        export(profile, CELL, tmp_path, replace=True)
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["mine.jsonl"]
    export(profile, CELL, tmp_path / "out")
    export(profile, CELL, tmp_path / "out", replace=True)
    for more in ("student/my_eval.json", "dataset/.git/config"):
        (tmp_path / "out" / more).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / more).write_text("mine")
        with pytest.raises(NomadError, match="not what an export wrote"):
            export(profile, CELL, tmp_path / "out", replace=True)
        assert (tmp_path / "out" / more).read_text() == "mine"
        (tmp_path / "out" / more).unlink()


def test_two_exports_are_two_datasets_to_the_reader(finished, tmp_path, monkeypatch):
    """`datasets` caches by the names of folder and files; each reads in a process and a cache that both share."""
    profile, store = finished.grid.profile, finished.store
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    read = "import sys, datasets; print(*datasets.load_dataset(sys.argv[1], 'all_rows', split='train')['id'])"
    found = []
    for cell in ("16/unmasked", "16/masked"):
        export(profile, cell, tmp_path / "out", ("dataset",), replace=True)
        done = subprocess.run(
            [sys.executable, "-c", read, str(tmp_path / "out" / "dataset")], capture_output=True, text=True,
            env={**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")}, check=True,
        )  # fmt: skip
        found.append(done.stdout.split())
    for cell, ids in zip(("unmasked", "masked"), found, strict=True):
        curated = pl.read_parquet(store.current("curated_corpus", Cell(16, cell)) / "curated.parquet")
        assert ids == curated["id"].to_list()


def test_what_appears_meanwhile_and_what_a_killed_export_left(finished, tmp_path, monkeypatch):
    profile, store = finished.grid.profile, finished.store
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    write = export_module._write_dataset

    def slow(facts, folder: Path) -> None:
        write(facts, folder)
        (tmp_path / "out" / "dataset").mkdir()
        (tmp_path / "out" / "dataset" / "mine.txt").write_text("mine")

    monkeypatch.setattr(export_module, "_write_dataset", slow)
    with pytest.raises(NomadError, match="exists already"):
        export(profile, CELL, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["dataset", "mine.txt"]
    monkeypatch.setattr(export_module, "_write_dataset", write)
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "out" / "dataset").rename(tmp_path / "out" / "kept")
    (tmp_path / "out" / f".old.{ended.pid}" / "dataset").mkdir(parents=True)
    (tmp_path / "out" / f".new.{ended.pid}").mkdir()
    with pytest.raises(NomadError, match="not what an export wrote"):
        export(profile, CELL, tmp_path / "out", ("student",)) and export(profile, CELL, tmp_path / "out", replace=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset", "kept", "student"]


def test_sigterm_ends_the_converter_and_leaves_nothing(project, tmp_path, monkeypatch):
    script = tmp_path / "llama.cpp" / "convert_hf_to_gguf.py"
    script.parent.mkdir()
    script.write_text(f"import time; open({str(tmp_path / 'begun')!r}, 'w').close(); time.sleep(60)")
    process = subprocess.Popen(
        command(project, tmp_path / "out", "--gguf"), env={**os.environ, "LLAMA_CPP": str(script.parent)}
    )
    for _ in range(600):
        if (tmp_path / "begun").exists():
            break
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM and children
    assert not psutil.wait_procs(children, timeout=5)[1] and not (tmp_path / "out").exists()


def test_what_was_there_comes_back_when_it_cannot_be_replaced(tmp_path, monkeypatch):
    for name in ("dataset", "student"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(f"old {name}")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent.name.startswith(".new") and path.name == "student":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr("nomad_assets.integrations.export._is_ours", lambda folder: True)
    with pytest.raises(OSError, match="no"), _together(tmp_path, ["dataset", "student"], True) as folder:
        for name in ("dataset", "student"):
            (folder / name).mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "student"]
    for name in ("dataset", "student"):
        assert (tmp_path / name / "README.md").read_text() == f"old {name}"


def test_half_an_export_never_appears(finished, tmp_path, monkeypatch):
    profile, store = finished.grid.profile, finished.store
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))

    def full(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("nomad_assets.integrations.export.model_card", full)
    with pytest.raises(OSError, match="disk full"):
        export(profile, CELL, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    export(profile, CELL, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset", "student"]
    assert "nomad" in (tmp_path / "out" / "dataset" / "README.md").read_text(encoding="utf-8")


def test_a_cell_that_was_not_made_and_one_that_does_not_exist(finished, tmp_path, monkeypatch):
    profile = finished.grid.profile
    monkeypatch.setenv("NOMAD_HOME", str(tmp_path / "lake"))
    with pytest.raises(NomadError, match="has not been materialised"):
        export(profile, CELL, tmp_path / "out")
    with pytest.raises(NomadError, match="unknown train size"):
        export(profile, "7/unmasked", tmp_path / "out")


def test_gguf_needs_its_converter_and_uses_it(project, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    command = ["export", CELL, str(tmp_path / "out"), "-p", str(project), "--only", "student", "--gguf"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and "LLAMA_CPP" in done.stderr and not (tmp_path / "out").exists()
    script = tmp_path / "llama.cpp" / "convert_hf_to_gguf.py"
    script.parent.mkdir()
    script.write_text(
        "import sys; open(sys.argv[3], 'wb').write(b'GGUF' + open(sys.argv[1] + '/config.json', 'rb').read())"
    )
    monkeypatch.setenv("LLAMA_CPP", str(script.parent))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "student.gguf").read_bytes().startswith(b"GGUF{")
    script.write_text("raise SystemExit('unknown architecture')")
    (tmp_path / "out" / "student.gguf").unlink()
    again = CliRunner().invoke(app, [*command[:2], str(tmp_path / "other"), *command[3:]])
    assert not (tmp_path / "other").exists(), "neither a student without the file that was asked for"
    assert again.exit_code == 2 and "unknown architecture" in again.stderr


def push(exported_to: Path, project: Path, hub, token: str | None = TOKEN, name: str = "hf://ann/corpus"):
    """`export --push` in a process of its own: the hub's library reads its address once, when it is imported."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(exported_to.parent / "hf"),
    }  # fmt: skip
    environment.pop("HF_TOKEN", None)
    if token:
        environment["HF_TOKEN"] = token
    return subprocess.run(
        command(project, exported_to, "--push", name), env=environment, capture_output=True, text=True, timeout=300
    )


def test_push_brings_both_folders_to_the_hub(project, tmp_path):
    with serving() as hub:
        done = push(tmp_path / "out", project, hub)
    assert done.returncode == 0, done.stderr + "\n".join(hub.calls)
    for repo_type, folder in (("dataset", "dataset"), ("model", "student")):
        sent = hub.repositories[repo_type, "ann/corpus"]
        own = {p.relative_to(tmp_path / "out" / folder).as_posix(): p for p in (tmp_path / "out" / folder).rglob("*")}
        files = {name: path.read_bytes() for name, path in own.items() if path.is_file()}
        assert {name: content for name, content in sent.items() if name != ".gitattributes"} == files
        assert hub.private[repo_type, "ann/corpus"] is True
    assert "datasets/ann/corpus" in done.stderr and TOKEN not in done.stderr + done.stdout


def test_what_an_earlier_push_left_goes(project, tmp_path):
    with serving() as hub:
        hub.repositories["dataset", "ann/corpus"] = {"data/kept-old.parquet": b"old", "mine.md": b"mine"}
        hub.private["dataset", "ann/corpus"] = True
        done = push(tmp_path / "ann" / "corpus", project, hub)
    assert done.returncode == 0, done.stderr
    assert {"mine.md"} < set(hub.repositories["dataset", "ann/corpus"])
    assert "data/kept-old.parquet" not in hub.repositories["dataset", "ann/corpus"]


def test_a_hub_that_refuses_is_one_sentence_and_the_folders_stay(project, tmp_path):
    with serving() as hub:
        unknown = push(tmp_path / "a", project, hub, token="hf_wrong")
        nobody = push(tmp_path / "b", project, hub, token=None)
        misspelt = push(tmp_path / "c", project, hub, name="hf://only-one-part")
    away = push(tmp_path / "d", project, hub)  # it does not answer any more
    assert away.returncode == 2 and "could not be pushed to http://127.0.0.1" in away.stderr, away.stderr
    assert "repeat with --replace" in away.stderr
    assert "Traceback" not in away.stderr and (tmp_path / "d" / "student" / "config.json").is_file()
    for done in (unknown, nobody):
        assert done.returncode == 2 and "HF_TOKEN" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "a" / "dataset" / "README.md").is_file()
    assert misspelt.returncode == 2 and "hf://owner/name" in misspelt.stderr and not (tmp_path / "c").exists()


def test_what_is_out_of_date_with_its_profile_is_not_described(finished, tmp_path, monkeypatch):
    profile, store = finished.grid.profile, finished.store
    monkeypatch.setenv("NOMAD_HOME", str(store.root.parent))
    other = profile.model_copy(update={"teacher": profile.teacher.model_copy(update={"epochs": 39.0})})
    with pytest.raises(NomadError, match=r"teacher_model \[16/unmasked\] is out of date with the profile"):
        export(other, CELL, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    rescored = profile.model_copy(update={"evaluation": profile.evaluation.model_copy(update={"bootstrap": 7})})
    export(rescored, CELL, tmp_path / "out")
    head, text = card(tmp_path / "out" / "student")
    assert "Not scored yet." in text and "model-index" not in head


def test_settings_in_the_card_are_the_manifests(exported, finished):
    _, text = card(exported / "dataset")
    block = json.loads(text.split("```json\n")[1].split("```")[0])
    manifest = finished.store.current("curated_corpus", Cell(16, "unmasked")).manifest
    assert block["curated_corpus"] == manifest.settings


@pytest.mark.parametrize(
    "names, expected",
    [
        (["CC-BY-4.0"], ("cc-by-4.0", None)),
        (["GPL-3.0-only"], ("gpl-3.0", None)),
        (["LGPL-2.1-or-later"], ("lgpl-2.1", None)),
        (["ODbL-1.0"], ("odbl", None)),
        (["CC-BY-4.1"], ("other", "cc-by-4.1")),
        (["MIT-0"], ("other", "mit-0")),
        (["Apache 2.0"], ("apache-2.0", None)),
        (["openrail++"], ("openrail++", None)),
        (["LicenseRef-Our own (2026)"], ("other", "licenseref-our-own-2026")),
        (["mit", "apache-2.0"], ("other", "see-below")),
        (["…"], ("other", "see-below")),
        ([], ("unknown", None)),
    ],
)
def test_a_licence_is_named_as_the_hub_names_it(names: list[str], expected: tuple) -> None:
    found = hub_licence(names, complete=True)
    assert (found["license"], found.get("license_name")) == expected


def test_the_hub_refuses_an_unknown_licence_in_a_card(exported):
    text = (exported / "dataset" / "README.md").read_text(encoding="utf-8")
    assert _faults(text) == [] and len(_faults(text.replace("license: other", "license: gpl-3.0-only"))) == 1
