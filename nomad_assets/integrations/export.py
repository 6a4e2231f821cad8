"""A cell's corpus and student as folders that other tools read, each with a card; and pushing them to a hub.

<out>/dataset/README.md            dataset card; its head tells `datasets.load_dataset` what there is
<out>/dataset/data/kept-*.parquet  configuration `kept` (the default): what a student is trained on
<out>/dataset/data/all-*.parquet   configuration `all_rows`: every attempt with its verdict and the evidence
<out>/student/                     safetensors, tokenizer, chat template, and a model card
<out>/student.gguf                 with `gguf`, by llama.cpp's converter

Each folder holds nomad-export.json, which lists its files and what they were made of: by it an export is known again. The
Parquet files are named by their content: `datasets` keeps what it read by the names of folder and files.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psutil

from nomad_assets.cells import Cell
from nomad_assets.engine.plan import is_current, is_withdrawn
from nomad_assets.errors import NomadError
from nomad_assets.grid import Grid
from nomad_assets.integrations.cards import Facts, dataset_card, model_card
from nomad_assets.opening import open_grid
from nomad_assets.profile.profile import Profile
from nomad_assets.recipe.data.sources import HUB
from nomad_assets.steps.base import MODEL
from nomad_assets.steps.curation import CuratedCorpus
from nomad_assets.store.manifests import Artifact
from nomad_assets.store.protocol import Store

PARTS = ("dataset", "student")
GGUF, LIST = "student.gguf", "nomad-export.json"
PARENTS = {
    "dataset": ("curated_corpus", "corpus_profile", "synthetic_corpus", "teacher_model", "seed_subset", "seed_examples", "base_model"),
    "student": (
        "student_model", "student_scores", "control_scores", "base_scores", "curated_corpus", "teacher_model",
        "seed_subset", "seed_examples", "base_model",
    ),
}  # fmt: skip
DESCRIBING = ("corpus_profile", "student_scores", "control_scores", "base_scores")
CONVERTER = "convert_hf_to_gguf.py"


def export(
    profile: Profile, cell: str, out: Path, parts: tuple[str, ...] = PARTS, gguf: bool = False, replace: bool = False
) -> list[Path]:
    """Write a cell's corpus, its student, or both under `out`; the paths that were made.

    All appear together when all are whole, and what is there already is not touched unless `replace` is given. Raises
    NomadError when something of the same name is there, and when an artifact is missing, out of date with the profile,
    or was made with a withdrawn seed row: a card would say of it what is not so.
    """
    grid, store = open_grid(profile)
    place = grid.parse(cell)
    if place.arm is None:
        raise NomadError(f"{cell} is a control, which has no corpus; export a cell such as {grid.cells[0].label}")
    names = [*parts, *([GGUF] if gguf else [])]
    if out.exists() and not out.is_dir():
        raise NomadError(f"{out} is no folder; give another one")
    if replace and "student" in parts and not gguf and os.path.lexists(out / GGUF):
        raise NomadError(
            f"{out / GGUF} is of the student that would be replaced; remove it, or write it anew with --gguf"
        )
    _require_free(out, names, replace)
    converter = _converter() if gguf else None
    facts = {part: Facts(profile, grid, place, _artifacts(grid, store, place, part)) for part in parts}
    read = {artifact.path: artifact for found in facts.values() for artifact in found.artifacts.values()}
    try:
        with store.reading(read.values()), _together(out, names, replace) as folder:
            for part in parts:
                (folder / part).mkdir()
                (_write_dataset if part == "dataset" else _write_student)(facts[part], folder / part)
                _write_list(facts[part], folder / part)
            if converter:
                _to_gguf(converter, folder / "student", folder / GGUF)
    except pl.exceptions.PolarsError as error:  # a full disk, to polars
        raise NomadError(f"{out}: could not be written: {str(error).splitlines()[0]}") from error
    except shutil.Error as error:
        raise NomadError(f"{out}: could not be written: {error.args[0][0][2]}") from error
    return [out / name for name in names]


def repository(address: str) -> dict[str, str | None]:
    """name and revision of `hf://owner/name[@revision]`. Raises NomadError on anything else."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    match = HUB.fullmatch(address)
    if match is None or match["config"]:
        raise NomadError(f"{address}: not of the form hf://owner/name[@revision]")
    try:
        validate_repo_id(match["name"])
    except HFValidationError as error:
        raise NomadError(f"{address}: {error}") from None
    return match.groupdict()


def push(folders: list[Path], address: str, private: bool = True) -> list[str]:
    """Upload exported folders to `hf://owner/name`: a dataset to the data set of that name, a student to the model.

    The token is the hub library's own (`HF_TOKEN`, or `hf auth login`); `HF_ENDPOINT` names another hub. The addresses
    that were written. Raises NomadError on what the hub refused.
    """
    from httpx2 import HTTPError  # of the client that the hub's library speaks through
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    hub, api, done = repository(address), HfApi(), []
    for folder in folders:
        repo_type = "dataset" if folder.name == "dataset" else "model"
        try:
            api.create_repo(hub["name"], repo_type=repo_type, private=private, exist_ok=True)
            if hub["revision"]:
                api.create_branch(hub["name"], repo_type=repo_type, branch=hub["revision"], exist_ok=True)
            found = api.upload_folder(
                repo_id=hub["name"], repo_type=repo_type, folder_path=folder, revision=hub["revision"],
                commit_message=f"{folder.name} written by nomad-assets",
                delete_patterns=["data/*.parquet", "*.safetensors"],  # of an earlier push
            )  # fmt: skip
        except LocalTokenNotFoundError:
            raise NomadError(f"{address}: no token for the hub; set HF_TOKEN, or run `hf auth login`") from None
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else None
            remedy = {401: "; set HF_TOKEN to a token that may write", 403: "; the token may not write there"}
            reason = str(error).strip().splitlines()[-1]
            raise NomadError(f"{address}: the hub refused the {repo_type}: {reason}{remedy.get(status, '')}") from error
        except (OSError, ValueError, HTTPError) as error:
            raise NomadError(f"{address}: could not be pushed to {api.endpoint}: {error}") from error
        done.append(str(found.commit_url).partition("/commit/")[0])
    return done


def _artifacts(grid: Grid, store: Store, cell: Cell, part: str) -> dict[str, Artifact]:
    """What a folder is made of and described by, all of it as the profile would make it now.

    What only describes (scores, the corpus profile) is left out where it is missing or out of date.
    """
    found, withdrawals = {}, store.withdrawals()
    for name in PARENTS[part]:
        step = grid.graph[name]
        place = cell.at(step.over)
        if name in DESCRIBING:
            if is_current(step, place, grid, store):
                found[name] = store.require(name, place)
            continue
        artifact = store.require(name, place)
        if is_withdrawn(artifact, withdrawals):
            raise NomadError(
                f"{artifact.manifest.artifact_id} was made with a withdrawn seed row; run nomad-assets run first"
            )
        if not is_current(step, place, grid, store):
            raise NomadError(
                f"{name} [{place.label}] is out of date with the profile; run nomad-assets run --cell {cell.label} first"
            )
        found[name] = artifact
    return found


def _write_dataset(facts: Facts, folder: Path) -> None:
    curated = facts.table("curated_corpus", CuratedCorpus)
    (folder / "data").mkdir()
    kept = curated.filter(pl.col("verdict") == "kept")
    columns = ["id", "prompt", "response", pl.col("normsim_2").alias("relevance"), "novelty", "nearest_seed"]
    files = facts.data_files(kept.height)
    if "kept" in files:
        kept.select(columns).write_parquet(folder / files["kept"])
    curated.write_parquet(folder / files["all_rows"])
    (folder / "README.md").write_text(dataset_card(facts, curated), encoding="utf-8")


def _write_student(facts: Facts, folder: Path) -> None:
    # The store's files are its owner's alone; these are for others too, as the umask says.
    shutil.copytree(
        facts.artifacts["student_model"] / MODEL.name, folder, dirs_exist_ok=True, copy_function=shutil.copyfile
    )
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


def _write_list(facts: Facts, folder: Path) -> None:
    record = {
        "profile": facts.profile.name, "cell": facts.cell.label,
        "artifacts": {name: artifact.manifest.artifact_id for name, artifact in facts.artifacts.items()},
        "files": sorted([LIST, *_files(folder)]),
    }  # fmt: skip
    (folder / LIST).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _files(folder: Path) -> list[str]:
    """Everything below a folder that is no folder, by its path in it."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _require_free(out: Path, names: list[str], replace: bool) -> None:
    """Raise NomadError when anything of these names is there that may not be replaced."""
    for name in names:
        if not os.path.lexists(out / name):
            continue
        if not replace:
            raise NomadError(f"{out / name} exists already; give another folder, or --replace to write it anew")
        ours = _is_ours(out / name) if name in PARTS else _is_ours(out / "student") and (out / name).is_file()
        if not ours or (out / name).is_symlink():
            raise NomadError(
                f"{out / name} is not what an export wrote, or holds more, and is not replaced; give another folder"
            )


def _is_ours(folder: Path) -> bool:
    """Whether a folder is an export and no more: one with our list, and with no file that is not on it."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))["files"]
        return not folder.is_symlink() and set(_files(folder)) <= set(listed)
    except (OSError, ValueError, LookupError, TypeError):
        return False


@contextlib.contextmanager
def _together(out: Path, names: list[str], replace: bool) -> Iterator[Path]:
    """A folder to write `names` in. When the block has ended well they lie in `out`, in place of what was there; when
    anything fails, `out` is as it was. What a killed export left is put right first."""
    _put_right(out)
    existed, new, old = out.exists(), out / f".new.{os.getpid()}", out / f".old.{os.getpid()}"
    new.mkdir(parents=True)
    try:
        yield new
        _require_free(out, names, replace)  # again: writing takes a while
        old.mkdir()
        try:
            for name in names:
                if (out / name).exists():
                    (out / name).rename(old / name)
                (new / name).rename(out / name)
        except BaseException:
            for name in names:
                if (out / name).exists() and not (new / name).exists():
                    (out / name).rename(new / name)
                if (old / name).exists():
                    (old / name).rename(out / name)
            with contextlib.suppress(OSError):  # what could not be put back stays where it is
                old.rmdir()
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if not existed and not any(out.iterdir()):
            out.rmdir()


def _put_right(out: Path) -> None:
    """Bring back what a killed export had moved aside, and remove what it had begun."""
    for left in [*out.glob(".old.*"), *out.glob(".new.*")]:
        process = left.suffix.removeprefix(".")
        if not process.isdigit() or psutil.pid_exists(int(process)):
            continue
        if left.name.startswith(".old"):
            for path in left.iterdir():
                if not (out / path.name).exists():
                    path.rename(out / path.name)
        shutil.rmtree(left, ignore_errors=True)


def _converter() -> Path:
    """llama.cpp's converter: on PATH, or in the folder that LLAMA_CPP names."""
    found = shutil.which(CONVERTER)
    if found is None and (folder := os.environ.get("LLAMA_CPP")):
        path = Path(folder) / CONVERTER
        found = path if path.is_file() else None
    if found is None:
        raise NomadError(
            f"--gguf: {CONVERTER} was not found; set LLAMA_CPP to a checkout of llama.cpp, or put the script on PATH"
        )
    return Path(found)


def _to_gguf(converter: Path, student: Path, out: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(converter), str(student), "--outfile", str(out)], capture_output=True, text=True
    )
    if done.returncode or not out.is_file():
        last = (done.stderr.strip() or done.stdout.strip() or "it wrote nothing").splitlines()[-1]
        raise NomadError(f"--gguf: {converter} failed: {last}")
