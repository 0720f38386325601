"""A trial that several processes train: one writes, all go in step, and any number goes on from its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pandas as pd
import pytest
import torch
from torch import Tensor

from orchestrator.distributed.group import ALONE, Group
from orchestrator.errors import NonFiniteLossError, StorageUnavailable
from orchestrator.plan.retry import classify
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_checkpoint
from orchestrator.training.session import Session
from tests.distributed.trials import doubles, images, in_default_precision, trial
from tests.training.test_health import Told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.distributed.processes import Processes

ID = "0123456789abcdef"
RHYTHM = {"epochs": 5, "log_every": 4, "d_steps": 2}
"""15 steps of 3 to an epoch."""


class Noting(LocalStore):
    """Notes what is written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        self.written.append(key)
        return super().write(key, data, replace=replace)


def make(group: Group, root: Path, model: dict[str, Any], **training: Any) -> Session:
    settings = trial(model=model, **{**RHYTHM, **training})
    session = Session(ID, settings, images(), Noting(root), group)
    in_default_precision(session.learner)
    return session


def until(group: Group, root: Path, step: int, model: dict[str, Any], **training: Any) -> tuple[list[str], dict]:
    """Go on to a step and store the state; what this process wrote, and its summary."""
    with doubles():
        session = make(group, root, model, **training)
        while session.progress.step < step:
            session.advance(0.0)
        session.save()
    assert isinstance(session.store, Noting)
    return session.store.written, session.summary()


def parts(group: Group, root: Path, step: int, batch_norm: str) -> tuple[list[str], dict]:
    return until(group, root, step, {"batch_norm": batch_norm})


def stored(root: Path) -> tuple[dict[str, Tensor], pd.DataFrame]:
    state = load_checkpoint(LocalStore(root), ID)
    assert state is not None
    assert state["progress"]["step"] == 15
    networks = {f"{n}.{k}": v for n in ("networks", "discriminator") for k, v in state["learner"][n].items()}
    return networks, pd.read_parquet(root / "metrics").drop(columns=["elapsed_s", "images_per_second"])


@pytest.mark.slow
def test_the_leader_alone_writes_and_all_know_where_they_are(two: Processes, tmp_path: Path) -> None:
    (leads, summary), (follows, also) = two.run(parts, tmp_path, 15, "synchronized")
    assert follows == []
    assert set(LocalStore(tmp_path).keys()) == set(leads)
    assert len([key for key in leads if key.startswith("samples")]) == 5
    assert (summary["workers"], summary["precision"], summary["step"]) == (2, "fp32", 15)
    timings = {"images_per_second", "train_s", "started_at"}
    assert {k: v for k, v in summary.items() if k not in timings} == {k: v for k, v in also.items() if k not in timings}


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", ["synchronized", "none"])
def test_a_checkpoint_goes_on_with_any_number_of_processes(
    two: Processes, three: Processes, tmp_path: Path, batch_norm: str
) -> None:
    """From one to two to three and back to one, in the middle of epochs and of windows."""
    parts(ALONE, tmp_path / "whole", 15, batch_norm)
    path = tmp_path / "moved"
    parts(ALONE, path, 2, batch_norm)
    assert {summary["resumes"] for _, summary in two.run(parts, path, 5, batch_norm)} == {1}
    three.run(parts, path, 10, batch_norm)
    parts(ALONE, path, 11, batch_norm)
    two.run(parts, path, 15, batch_norm)
    (expected, rows), (found, moved_rows) = stored(tmp_path / "whole"), stored(path)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-8, msg=name)
    assert moved_rows["step"].tolist() == [4, 8, 12, 15]
    pd.testing.assert_frame_equal(moved_rows, rows, rtol=1e-6)


@pytest.mark.slow
def test_how_often_statistics_are_joined_changes_none(two: Processes, tmp_path: Path) -> None:
    """Each process's own follow the batches linearly."""
    two.run(rarely, tmp_path / "rarely")
    two.run(parts, tmp_path / "often", 15, "per_device")
    (rare, _), (often, _) = stored(tmp_path / "rarely"), stored(tmp_path / "often")
    for name, value in rare.items():
        torch.testing.assert_close(often[name], value, rtol=1e-10, atol=1e-12, msg=name)


def rarely(group: Group, root: Path) -> None:
    until(group, root, 15, {"batch_norm": "per_device"}, samples_every=0, checkpoint_every=100)


def slices(group: Group, root: Path) -> list[int]:
    """Steps done after each call, where by their clocks one process takes 0.02 s for a step and the others 10 s."""
    session = make(group, root, {}, epochs=3)
    step, now = session.learner.step, 0.0

    def timed() -> Tensor:
        nonlocal now
        now += 0.02 if group.is_leader else 10.0
        return step()

    stops = []
    session.learner.step = timed  # type: ignore[method-assign]
    with mock.patch("orchestrator.training.progress.time.perf_counter", side_effect=lambda: now):
        while not session.progress.done:
            session.advance(0.05)
            stops.append(session.progress.step)
    return stops


@pytest.mark.slow
def test_slices_are_the_leaders_on_every_process(two: Processes, tmp_path: Path) -> None:
    assert two.run(slices, tmp_path) == [[1, 2, 3, 5, 6, 8, 9]] * 2


def different(group: Group, root: Path) -> str:
    """Each process finds another state in storage."""
    try:
        make(group, root / str(group.rank), {})
    except StorageUnavailable as error:
        return f"{classify(error)}: {error}"
    return "nothing"


@pytest.mark.slow
def test_processes_that_read_different_checkpoints_do_not_start(two: Processes, tmp_path: Path) -> None:
    parts(ALONE, tmp_path / "0", 5, "synchronized")
    answers = two.run(different, tmp_path)
    for rank, answer in enumerate(answers):
        place = f"{LocalStore(tmp_path / str(rank)).uri}/checkpoints/{ID}.pt"
        assert answer == f"surroundings: {place}: the trial's 2 processes read checkpoints of different steps: 5, 0"


def poisoned(group: Group, root: Path) -> int:
    """One process's images become no numbers at step 6, within a window."""
    session = make(group, root, {"batch_norm": "none"})
    chosen = session.learner.batches.chosen

    def bad(batch: int) -> tuple[Tensor, Tensor]:
        images, numbers = chosen(batch)
        poison = session.progress.step == 5 and not group.is_leader
        return images * float("nan") if poison else images, numbers

    session.learner.batches.chosen = bad  # type: ignore[method-assign]
    try:
        while not session.progress.done:
            session.advance(0.0)
    except NonFiniteLossError as error:
        return error.step
    return 0


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_all_at_the_same_step(processes: Processes, tmp_path: Path) -> None:
    assert processes.run(poisoned, tmp_path) == [6] * processes.size


def ended(group: Group, root: Path) -> tuple[int, str | None]:
    """The step at which a trial without improvement ends, and why. Only the leader looks at samples."""
    settings = trial(
        **{**RHYTHM, "epochs": 9}, measure_every=1, measure_samples=200, stop_when=["no_improvement"],
        patience={"epochs": 2},
    )  # fmt: skip
    looks = [(50.0, 10), (30.0, 10), (40.0, 10), (31.0, 10)] if group.is_leader else []
    session = Session(ID, settings, images(), LocalStore(root), group, Told(looks))
    while not session.progress.done:
        session.advance(0.0)
    return session.progress.step, session.progress.stopped


@pytest.mark.slow
def test_two_processes_end_without_improvement_where_one_does(two: Processes, tmp_path: Path) -> None:
    assert two.run(ended, tmp_path / "two") == [(12, "no_improvement")] * 2
    assert ended(ALONE, tmp_path / "one") == (12, "no_improvement")


def timed_out(group: Group, root: Path) -> tuple[int, str | None]:
    """The step at which a trial's minutes have passed, by the leader's clock; those of the others are far ahead."""
    session = Session(ID, trial(**RHYTHM, max_minutes=1.0), images(), LocalStore(root), group)
    for _ in range(4):
        session.progress.elapsed_s = 0.0 if group.is_leader else 1e6
        session.advance(0.0)
        assert not session.progress.done
    session.progress.elapsed_s = 60.0 if group.is_leader else 0.0
    session.advance(0.0)
    return session.progress.step, session.progress.stopped


@pytest.mark.slow
def test_two_processes_end_by_the_clock_of_the_leader(two: Processes, tmp_path: Path) -> None:
    assert two.run(timed_out, tmp_path) == [(5, "timeout")] * 2
