"""orch sample: PNG files of a trained generator, the same for the same seed, over nobody's files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import sample
from orchestrator.data.ranges import to_bytes
from orchestrator.store.local import LocalStore
from orchestrator.study.samples import draw
from orchestrator.study.trained import load_trained
from orchestrator.training.checkpoint import load_checkpoint, save_best
from tests.trained import small_job, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    Orch = Callable[..., Any]


@pytest.fixture
def ids(folder: Path) -> list[str]:
    """Two trials in results/study, of which the second has the lower FID."""
    job = small_job(grid={"training.seed": [0, 1]}, training={"epochs": 1})
    train(folder / "results", job, [30.0, 10.0])
    return [trial.id for trial in job.trials]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image)


def test_files_are_the_generator_s_images_and_the_same_each_time(orch: Orch, folder: Path, ids: list[str]) -> None:
    ran = orch("sample", "study", "-n", "5", "--out", "one")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"5 images of trial {ids[1]} (the best by fid: 10): {folder}/one/{ids[1]}-seed0-*.png\n"
    one = files(folder / "one")
    assert list(one) == [f"{ids[1]}-seed0-{place:05d}.png" for place in range(5)]
    (images,) = draw(load_trained(LocalStore(folder / "results" / "study"), ids[1]), 5)
    for expected, png in zip(to_bytes(images).numpy()[:, 0], one.values(), strict=True):
        assert np.array_equal(pixels(png), expected)
    assert orch("sample", "study", ids[1][:8], "-n", "5", "--out", "two").code == 0
    assert files(folder / "two") == one
    assert orch("sample", "study", "-n", "5", "--out", "two", "--seed", "1").code == 0
    assert len(files(folder / "two")) == 10


def test_sheets_strips_and_truncation_have_names_of_their_own(orch: Orch, folder: Path, ids: list[str]) -> None:
    for arguments in (
        ("-n", "5", "--grid"),
        ("-n", "2", "--interpolate", "spherical"),
        ("-n", "2", "--interpolate", "linear", "--grid"),
        ("-n", "1", "--truncation", "0.5"),
    ):
        assert orch("sample", "study", ids[0], "--out", "made", *arguments).code == 0
    made = files(folder / "made")
    sizes = {name.removeprefix(f"{ids[0]}-seed0-"): pixels(png).shape for name, png in made.items()}
    assert sizes == {
        "00000.png".join(["t0.5-", ""]): (28, 28),
        "linear-sheet2.png": (58, 268),
        "sheet5.png": (58, 88),
        "spherical-00000.png": (28, 268),
        "spherical-00001.png": (28, 268),
    }


def test_the_best_checkpoint_is_another_generator(orch: Orch, folder: Path, ids: list[str]) -> None:
    store = LocalStore(folder / "results" / "study")
    assert "no such checkpoint" in orch("sample", "study", ids[0], "--checkpoint", "best").mistake
    state = load_checkpoint(store, ids[1])
    assert state is not None
    save_best(store, ids[0], {"step": 1, "fid": 9.0, "networks": state["learner"]["networks"]})
    assert orch("sample", "study", ids[0], "-n", "1", "--checkpoint", "best", "--out", "made").code == 0
    assert orch("sample", "study", ids[1], "-n", "1", "--out", "made").code == 0
    best, last = (
        files(folder / "made")[f"{ids[0]}-best-seed0-00000.png"],
        files(folder / "made")[f"{ids[1]}-seed0-00000.png"],
    )
    assert np.array_equal(pixels(best), pixels(last))


def test_nobody_s_file_is_replaced_without_force(orch: Orch, folder: Path, ids: list[str]) -> None:
    (folder / "made").mkdir()
    theirs = folder / "made" / f"{ids[1]}-seed0-00003.png"
    theirs.write_bytes(b"theirs")
    line = f"--out: {theirs} is there already; name another folder, or replace it with --force"
    assert orch("sample", "study", "-n", "5", "--out", "made").mistake == line
    assert files(folder / "made") == {theirs.name: b"theirs"}, "nothing half written"
    assert orch("sample", "study", "-n", "3", "--out", "made").code == 0
    assert theirs.read_bytes() == b"theirs"
    assert orch("sample", "study", "-n", "5", "--out", "made", "--force").code == 0
    assert pixels(theirs.read_bytes()).shape == (28, 28)
    (folder / "linked").mkdir()
    (folder / "linked" / theirs.name).symlink_to(folder / "job.yaml")
    assert "is a link" in orch("sample", "study", "-n", "5", "--out", "linked").mistake
    assert orch("sample", "study", "-n", "5", "--out", "linked", "--force").code == 0
    assert not (folder / "linked" / theirs.name).is_symlink()
    assert (folder / "job.yaml").read_bytes().startswith(b"name: study")


def test_many_are_made_in_parts(orch: Orch, folder: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a part is held: it is written before the next one is drawn."""
    held: list[int] = []

    def counted(made: Iterator[Tensor], count: int) -> Iterator[Tensor]:
        for place, image in enumerate(made, start=1):
            held.append(place - len(list(folder.glob("made/*.png"))))
            yield image

    monkeypatch.setattr(sample, "_TOGETHER", 100)
    monkeypatch.setattr(sample, "_counted", counted)
    assert orch("sample", "study", ids[0], "-n", "450", "--out", "made").code == 0
    assert len(files(folder / "made")) == len(held) == 450
    assert max(held) == 100


MISTAKES = [
    (("-n", "0"), "--count: input should be greater than or equal to 1; see 'orch sample --help'"),
    (("-n", "x"), "--count: "),
    (("-n", "1025", "--grid"), "count: got 1025, expected at most 1024 on one sheet"),
    (("--seed", "-1"), "seed: got -1, expected a whole number >= 0 and <= 4294967295"),
    (("--truncation", "0"), "truncation: got 0.0, expected a number > 0 and <= 10"),
    (("--truncation", "nan"), "truncation: got nan, expected"),
    (("--interpolate", "round"), "interpolate: got 'round', expected linear or spherical"),
    (("--checkpoint", "first"), "--checkpoint: got 'first', expected last or best"),
    (("--device", "gpu"), "device: got 'gpu', expected cpu"),
    (("--out", "s3://bucket/x"), "--out: got 's3://bucket/x', expected a folder of this machine"),
    (("--out", ""), "--out: got '', expected a folder of this machine"),
    (("zzzz",), "{store}: got 'zzzz', with which no trial's id begins; trials there: "),
    (("../job",), "{store}: got '../job', with which no trial's id begins; trials there: "),
    (("\x1b[2J",), "{store}: got "),
    (("",), "TRIAL: got '', with which 2 ids begin ("),
    (("a", "b"), "orch sample: got 'b', expected nothing after JOB TRIAL; see 'orch sample --help'"),
]


def test_mistakes_are_one_line_and_leave_nothing(orch: Orch, folder: Path, ids: list[str]) -> None:
    store = LocalStore(folder / "results" / "study")
    before = set(folder.rglob("*"))
    for arguments, line in MISTAKES:
        assert orch("sample", "study", *arguments).mistake.startswith(line.format(store=store.uri)), arguments
    assert "job.yaml is not a folder" in orch("sample", "study", "--out", "job.yaml").mistake
    store.delete(f"checkpoints/{ids[0]}.pt")
    assert "no such checkpoint" in orch("sample", "study", ids[0]).mistake
    store.write(f"checkpoints/{ids[1]}.pt", b"\x80\x04cos\nsystem\n")
    assert "damaged checkpoint" in orch("sample", "study").mistake
    for trial_id in ids:
        store.delete(f"trials/{trial_id}.parquet")
    assert orch("sample", "study").mistake.startswith(f"{store.uri}: ")
    assert not set(folder.rglob("*")) - before
