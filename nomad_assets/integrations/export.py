"""A cell's corpus and student as folders that other tools read, each with a card; and pushing them to a hub.

<out>/dataset/README.md            dataset card; its head tells `datasets.load_dataset` what there is
<out>/dataset/data/kept.parquet    configuration `kept` (the default): what a student is trained on
<out>/dataset/data/all.parquet     configuration `all_rows`: every attempt with its verdict and the evidence
<out>/student/                     safetensors, tokenizer, chat template, and a model card
<out>/student.gguf                 with `gguf`, by llama.cpp's converter
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from nomad_assets.errors import NomadError
from nomad_assets.integrations.cards import Facts, dataset_card, model_card
from nomad_assets.partitions import Cell, Grid
from nomad_assets.profile import Profile
from nomad_assets.recipe.sources import parse_hub
from nomad_assets.steps import STEPS, is_current, is_withdrawn
from nomad_assets.storage import Artifact, Store

KINDS = ("dataset", "student")
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
    profile: Profile, cell: str, out: Path, kinds: tuple[str, ...] = KINDS, gguf: bool = False, replace: bool = False
) -> list[Path]:
    """Write a cell's corpus, its student, or both under `out`; the paths that were made.

    All appear together when all are whole, and what is there already is not touched unless `replace` is given. Raises
    NomadError when something of the same name is there, and when an artifact is missing, out of date with the profile,
    or was made with a withdrawn seed row: a card would say of it what is not so.
    """
    grid, store = Grid(profile), Store.of(profile)
    place = grid.parse(cell)
    names = [*kinds, *(["student.gguf"] if gguf else [])]
    for name in names:
        if (out / name).exists() and not replace:
            raise NomadError(f"{out / name} exists already; give another folder, or --replace to write it anew")
        if name in KINDS and (out / name).exists() and not _is_ours(out / name):
            raise NomadError(f"{out / name} is not what an export wrote, and is not replaced; give another folder")
    converter = _converter() if gguf else None
    facts = {kind: Facts(profile, grid, place, _artifacts(profile, grid, store, place, kind)) for kind in kinds}
    read = {artifact.path: artifact for found in facts.values() for artifact in found.artifacts.values()}
    with store.reading(read.values()), _together(out, names) as folder:
        for kind in kinds:
            (folder / kind).mkdir()
            (_write_dataset if kind == "dataset" else _write_student)(facts[kind], folder / kind)
        if converter:
            _to_gguf(converter, folder / "student", folder / "student.gguf")
    return [out / name for name in names]


def repository(address: str) -> dict[str, str | None]:
    """name and revision of `hf://owner/name[@revision]`. Raises NomadError on anything else."""
    hub = parse_hub(address)
    if hub["config"]:
        raise NomadError(f"{address}: a configuration cannot be pushed; give hf://owner/name")
    return hub


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
        kind = "dataset" if folder.name == "dataset" else "model"
        try:
            api.create_repo(hub["name"], repo_type=kind, private=private, exist_ok=True)
            if hub["revision"]:
                api.create_branch(hub["name"], repo_type=kind, branch=hub["revision"], exist_ok=True)
            found = api.upload_folder(
                repo_id=hub["name"], repo_type=kind, folder_path=folder, revision=hub["revision"],
                commit_message=f"{folder.name} written by nomad-assets",
            )  # fmt: skip
        except LocalTokenNotFoundError:
            raise NomadError(f"{address}: no token for the hub; set HF_TOKEN, or run `hf auth login`") from None
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else None
            remedy = {401: "; set HF_TOKEN to a token that may write", 403: "; the token may not write there"}
            reason = str(error).strip().splitlines()[-1]
            raise NomadError(f"{address}: the hub refused the {kind}: {reason}{remedy.get(status, '')}") from error
        except (OSError, ValueError, HTTPError) as error:
            raise NomadError(f"{address}: could not be pushed to {api.endpoint}: {error}") from error
        done.append(str(found.commit_url).partition("/commit/")[0])
    return done


def _artifacts(profile: Profile, grid: Grid, store: Store, cell: Cell, kind: str) -> dict[str, Artifact]:
    """What a folder is made of and described by, all of it as the profile would make it now.

    What only describes (scores, the corpus profile) is left out where it is missing or out of date.
    """
    found, withdrawals = {}, store.withdrawals()
    for name in PARENTS[kind]:
        step = STEPS[name]
        place = {"none": Cell(), "size": Cell(cell.train_size), "cell": cell}[step.partitions]
        if name in DESCRIBING:
            if is_current(step, place, profile, grid, store):
                found[name] = store.require(name, place)
            continue
        artifact = store.require(name, place)
        if is_withdrawn(artifact, withdrawals):
            raise NomadError(
                f"{artifact.manifest.artifact_id} was made with a withdrawn seed row; run nomad-assets run first"
            )
        if not is_current(step, place, profile, grid, store):
            raise NomadError(
                f"{name} [{place.label}] is out of date with the profile; run nomad-assets run --cell {cell.label} first"
            )
        found[name] = artifact
    return found


def _write_dataset(facts: Facts, folder: Path) -> None:
    curated = pl.read_parquet(facts.artifacts["curated_corpus"] / "curated.parquet")
    (folder / "data").mkdir()
    kept = curated.filter(pl.col("verdict") == "kept")
    columns = ["id", "prompt", "response", pl.col("normsim_2").alias("relevance"), "novelty", "nearest_seed"]
    kept.select(columns).write_parquet(folder / "data" / "kept.parquet")
    curated.write_parquet(folder / "data" / "all.parquet")
    (folder / "README.md").write_text(dataset_card(facts, curated), encoding="utf-8")


def _write_student(facts: Facts, folder: Path) -> None:
    shutil.copytree(facts.artifacts["student_model"] / "model", folder, dirs_exist_ok=True)
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


@contextlib.contextmanager
def _together(out: Path, names: list[str]) -> Iterator[Path]:
    """A folder to write `names` in. When the block has ended well they lie in `out`, in place of what was there; when
    anything fails, `out` is as it was."""
    existed, new, old = out.exists(), out / f".new.{os.getpid()}", out / f".old.{os.getpid()}"
    new.mkdir(parents=True)
    try:
        yield new
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


def _is_ours(folder: Path) -> bool:
    """Whether a folder is an export and no more: one with a card of ours, and no repository, whose history would go."""
    card = folder / "README.md"
    if folder.is_symlink() or not card.is_file() or (folder / ".git").exists():
        return False
    return "nomad-assets" in card.read_text(encoding="utf-8", errors="replace")


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
