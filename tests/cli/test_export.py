"""orch export: generators as files of other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.store.local import LocalStore
from tests.trained import small_job, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def ids(folder: Path) -> list[str]:
    """Two trained trials in the storage results."""
    store = train(folder / "results", small_job(grid={"training.seed": [0, 1]}))
    return [key.removeprefix("trials/").removesuffix(".parquet") for key in store.keys("trials")]


def test_a_generator_by_the_beginning_of_its_trial_s_id(orch: Callable[..., Any], folder: Path, ids: list[str]) -> None:
    for form, name in (("safetensors", "generator.safetensors"), ("torchscript", "generator.pt")):
        ran = orch("export", "study", ids[1][:6], "--format", form, "--out", f"out/{form}")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"{folder}/out/{form}/{name}: trial {ids[1]}; images differ by at most ")
        page = (folder / "out" / form / "README.md").read_text()
        for told in (
            f"| trial | {ids[1]} |",
            "| status | finished |",
            "| step | 4 |",
            "weights | of the trial's end |",
        ):
            assert told in page
        assert "seed: 1" in page
    assert [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")] == []


def test_all_trials_in_a_tracker_once_and_while_no_run_is_at_work(
    orch: Callable[..., Any], folder: Path, ids: list[str]
) -> None:
    ran = orch("export", "study", "--to", "tensorboard", "--out", "runs")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{folder}/runs: 2 trials, 2 of them with something new\n"
    assert sorted(path.name for path in (folder / "runs").iterdir()) == sorted(ids)
    ran = orch("export", "study", "--to", "tensorboard", "--out", "runs", "--track")
    assert (ran.code, ran.out, ran.err) == (0, f"{folder}/runs: 2 trials; no run of study is at work\n", "")


def test_a_trial_that_has_not_ended(orch: Callable[..., Any], folder: Path, ids: list[str]) -> None:
    LocalStore(folder / "results" / "study").delete(f"trials/{ids[0]}.parquet")
    assert orch("export", "study", ids[0], "--format", "safetensors", "--out", "out").code == 0
    assert "| status | not ended" in (folder / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "--format: is missing, expected one of safetensors, onnx, torchscript; or --to with one of tensorboard, "),
        (("--format", "pth"), "--format: got 'pth', expected safetensors, onnx or torchscript"),
        (("--format", "onnx"), "--out: is missing, expected a folder for the files"),
        (("--to", "aim", "--out", "out"), "--to: got 'aim', expected tensorboard, mlflow or wandb"),
        (("--to", "mlflow"), "--out: is missing, expected a folder for the files"),
        (("@", "--to", "mlflow", "--out", "out"), "TRIAL: has no effect with --to; leave one of them out"),
        (("--to", "mlflow", "--format", "onnx"), "--to: has no effect with --format; leave one of them out"),
        (("@", "--format", "onnx", "--out", "out", "--track"), "--track: has no effect without --to"),
        (("--to", "tensorboard", "--out", "job.yaml"), "--out: got 'job.yaml', which is no folder, expected a folder"),
        (("--format", "onnx", "--out", ""), "--out: got '', expected a folder"),
        (("--format", "onnx", "--out", "job.yaml"), "--out: got 'job.yaml', which is no folder, expected a new folder"),
        (
            ("--format", "onnx", "--out", "results"),
            "--out: got 'results', which is a folder with files, expected a new folder",
        ),
        (
            ("--format", "onnx", "--out", "out", "--checkpoint", "first"),
            "--checkpoint: got 'first', expected last or best",
        ),
        (("--format", "onnx", "--out", "out"), "TRIAL: got '', with which 2 ids begin ("),
        (("zz", "--format", "onnx", "--out", "out"), "results/study: got 'zz', with which no trial's id begins"),
        (("@", "--format", "onnx", "--out", "out", "--checkpoint", "best"), ".best.pt: no such checkpoint"),
        (("@", "--format", "onnx", "--out", "job.yaml/out"), "job.yaml/out: cannot write: Not a directory"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    orch: Callable[..., Any], folder: Path, ids: list[str], arguments: tuple[str, ...], line: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert line in orch("export", "study", *(ids[0] if one == "@" else one for one in arguments)).mistake
    assert sorted(folder.rglob("*")) == before


def test_a_trial_without_a_checkpoint(orch: Callable[..., Any], folder: Path, ids: list[str]) -> None:
    LocalStore(folder / "results" / "study").delete(f"checkpoints/{ids[0]}.pt")
    line = orch("export", "study", ids[0], "--format", "onnx", "--out", "out").mistake
    assert f"checkpoints/{ids[0]}.pt: no such checkpoint" in line
    assert not (folder / "out").exists()
