"""A trial is cached only where it was trained on the images that are there now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import CellState, Plan
from orchestrator.plan.survey import survey
from orchestrator.spec.job import make_job
from orchestrator.state.held_out import record_held_out
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.replaced import set_aside, set_evaluations_aside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.spec.job import Job
    from orchestrator.store.local import LocalStore

HERE = Cluster((Machine(cpus=2, gpus=0),))
NEW, CACHED = CellState.NEW, CellState.CACHED


def draw(folder: Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(noise.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number:03}.png")


@pytest.fixture
def job(make: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Two trials on the images of a relative folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw(tmp_path / "one" / "imgs", 20, 1)
    draw(tmp_path / "two" / "imgs", 20, 2)
    draw(tmp_path / "copy" / "imgs", 20, 1)
    draw(tmp_path / "more" / "imgs", 30, 1)
    monkeypatch.chdir(tmp_path / "one")
    data = {"name": "image_folder", "root": "imgs", "height": 8, "width": 8}
    model = {"kind": "fully_connected", "latent_dim": 4, "generator_widths": [4], "discriminator_widths": [4]}
    raw = make({"training.seed": [0, 1]}, training={"batch_size": 8}).resolved()
    return make_job({**raw, "data": data, "model": model}, "job.yaml")


def end(job: Job, store: LocalStore, **origin: Any) -> None:
    for trial in job.trials:
        images = {"images": 18, "data_fingerprint": trial.settings.data.fingerprint()}
        record(store, "study", trial, Status.FINISHED, {"step": 4}, {**provenance(), **images, **origin})


def states(plan: Plan) -> list[CellState]:
    return [cell.state for cell in plan.cells]


@pytest.mark.parametrize(
    ("folder", "state"), [("one", CACHED), ("copy", CACHED), ("two", NEW), ("more", NEW), ("none", CACHED)]
)
def test_the_same_settings_on_other_images_are_new(
    job: Job, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, state: CellState
) -> None:
    end(job, store)
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path / folder)
    plan = survey(job, store, HERE)
    assert states(plan) == [state] * 2
    assert plan.problem is None
    if state is NEW:
        (note,) = plan.notes
        assert note.startswith("2 trials are new: the results in storage are of 18 other images of image_folder, now ")
        assert not any(cell.resumes for cell in plan.cells)


def test_rows_that_do_not_name_their_images_stay_cached(job: Job, store: LocalStore, monkeypatch: Any) -> None:
    end(job, store, images=None, data_fingerprint=None)
    assert states(survey(job, store, HERE)) == [CACHED] * 2


def test_what_is_replaced_is_kept_aside(
    job: Job, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(job, store)
    first, other = (trial.id for trial in job.trials)
    files = [
        f"{first}.pt",
        f"{first}.best.pt",
        f"{first}.latents/000000004-00000.pt",
    ]
    keys = [f"checkpoints/{name}" for name in files]
    keys += [f"metrics/{first}.parquet", f"samples/{first}/epoch-0001.png"]
    keys += [f"evaluations/quality/{first}-0123456789abcdef-0000.parquet"]
    kept = [f"checkpoints/{other}.pt", f"evaluations/quality/{other}-0123456789abcdef-0000.parquet"]
    for key in (*keys, *kept):
        store.write(key, key.encode())
    keys.append(f"trials/{first}.parquet")
    row = store.read(keys[-1])
    monkeypatch.chdir(tmp_path / "two")
    print_of = {cell.trial.id: cell.other_images or "" for cell in survey(job, store, HERE).cells}
    set_aside(store, {first: print_of[first]})

    assert set(store.keys()) == {
        *kept,
        f"trials/{other}.parquet",
        *(f"replaced/{print_of[first][:12]}/{key}" for key in keys),
    }
    assert store.read(f"replaced/{print_of[first][:12]}/trials/{first}.parquet") == row
    assert store.child(f"replaced/{print_of[first][:12]}").read(keys[0]) == keys[0].encode()


def test_evaluations_of_other_held_out_images_are_new(
    job: Job, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenth and twentieth image of a folder are held out: the trials stay, what looks at these images does not."""
    raw = job.resolved()
    search = {"kind": "inversion", "images": 2}
    asked = make_job({**raw, "evaluate": [search, {"kind": "sharpness"}]}, "job.yaml")
    end(asked, store)
    for trial in asked.trials:
        store.write(f"checkpoints/{trial.id}.pt", b"a checkpoint")
    dues = survey(asked, store, HERE).due
    record_held_out(store, dues)
    for due in dues:
        store.write(due.evaluation.rows_key(due.trial.id, 0), b"rows")
    assert survey(asked, store, HERE).due == []

    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "imgs" / "009.png")
    plan = survey(asked, store, HERE)
    assert states(plan) == [CACHED] * 2
    assert [due.evaluation.kind for due in plan.due] == ["inversion"] * 2
    assert plan.notes == (
        "2 evaluations are new: those in storage are of other held-out images; they are kept in replaced/",
    )
    set_evaluations_aside(store, plan.due)
    record_held_out(store, plan.due)
    assert len(store.keys("evaluations/inversion")) == 0
    assert len(store.keys("evaluations/sharpness")) == len(store.keys("replaced")) == 2
    assert [due.other_images for due in survey(asked, store, HERE).due] == [None, None]
    monkeypatch.chdir(tmp_path)  # where there is nothing to compare with
    assert [due.other_images for due in survey(asked, store, HERE).due] == [None, None]


@pytest.mark.parametrize("count", [64, 65])
def test_a_claim_that_the_images_of_a_folder_are_too_few_for_is_a_note(
    job: Job, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """How many there are, no settings tell: a class has ``count`` images to train on."""
    for number, name in enumerate(("cats", "dogs")):
        draw(tmp_path / "both" / "imgs" / "train" / name, count, number)
        draw(tmp_path / "both" / "imgs" / "test" / name, 1, number)
    monkeypatch.chdir(tmp_path / "both")
    sides = {"group": {"training.seed": 0}, "than": {"training.seed": 1}}
    claims = [{"id": "A", "says": "x", "measure": name, "better": "lower", **sides} for name in ("fid", "diversity")]
    claims[1]["id"] = "B"
    raw = job.resolved()
    asked = make_job({**raw, "training": {**raw["training"], "measure_every": 1}, "claims": claims}, "job.yaml")
    line = "claim A will be undecided: got 'fid', which takes 129 training images or more, not 128"
    assert survey(asked, store, HERE).notes[1:] == ((line,) if count == 64 else ())  # the first is of the folders
    monkeypatch.chdir(tmp_path)
    assert survey(asked, store, HERE).notes == ()  # there are none to count
