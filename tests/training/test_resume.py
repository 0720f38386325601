"""A trial that goes on from a checkpoint is, bitwise, the one that was never interrupted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import torch

from orchestrator.errors import StorageUnavailable
from orchestrator.store.local import LocalStore
from orchestrator.training import session as session_module
from orchestrator.training.checkpoint import load_checkpoint
from orchestrator.training.session import Session

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef"
LONG = 1e6
TIMINGS = ("elapsed_s", "images_per_second", "window_s", "started_at", "resumes")
RHYTHM = {"epochs": 3, "log_every": 4, "d_steps": 2, "g_steps": 2}
"""15 steps of 5 to an epoch; windows end at 4, 8, 12, 15, and passes over the 22 images within epochs."""


class Crash(Exception):  # noqa: N818
    """Stands for kill -9: nothing catches it."""


class FailingStore(LocalStore):
    """Raises instead of its n-th write, counted from 1."""

    def __init__(self, root: Path, at: int, error: Exception) -> None:
        super().__init__(root)
        self.at, self.error, self.writes = at, error, 0

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        self.writes += 1
        if self.writes == self.at:
            raise self.error
        return super().write(key, data, replace=replace)


@pytest.fixture
def make_session(make_trial, images, tmp_path: Path):
    def make(store: str | LocalStore) -> Session:
        store = LocalStore(tmp_path / store) if isinstance(store, str) else store
        return Session(ID, make_trial(**RHYTHM), images, store)

    return make


def finish(session: Session) -> Session:
    while not session.progress.done:
        session.advance(LONG)
    return session


def steps(session: Session, count: int) -> None:
    for _ in range(count):
        session.advance(0.0)


@pytest.fixture
def assert_same(differences, tmp_path: Path):
    """All that two trials computed and stored, but for times."""

    def check(whole: str, resumed: str) -> None:
        one, other = LocalStore(tmp_path / whole), LocalStore(tmp_path / resumed)
        states = load_checkpoint(one, ID), load_checkpoint(other, ID)
        assert states[0] is not None
        assert states[0]["progress"]["step"] == 15
        assert differences(*states, TIMINGS) == []
        assert one.keys() == other.keys()
        for key in one.keys("samples"):
            assert one.read(key) == other.read(key), key
        tables = [pd.read_parquet(tmp_path / name / "metrics") for name in (whole, resumed)]
        assert tables[0]["step"].tolist() == [4, 8, 12, 15]
        pd.testing.assert_frame_equal(
            *(t.drop(columns=["elapsed_s", "images_per_second"]) for t in tables), check_exact=True
        )

    return check


@pytest.mark.slow
@pytest.mark.parametrize(
    "interruptions",
    [[5], [4], [1], [7], [2, 3, 5, 6, 11], list(range(1, 15))],
    ids=lambda steps: "-".join(map(str, steps)),
)
def test_interruptions_change_nothing(make_session, assert_same, interruptions: list[int]) -> None:
    """At epoch ends, at window ends, in the middle of both, and after every single step."""
    finish(make_session("whole"))
    session = make_session("resumed")
    for step in interruptions:
        steps(session, step - session.progress.step)
        session.save()
        session = make_session("resumed")
        assert session.progress.step == step
    finish(session)
    assert session.resumes == len(interruptions)
    assert_same("whole", "resumed")


def test_the_comparison_would_see_a_difference(make_session, assert_same) -> None:
    finish(make_session("whole"))
    session = make_session("resumed")
    steps(session, 7)
    session.learner.latents.set_state(torch.Generator().manual_seed(1).get_state())
    finish(session)
    with pytest.raises(AssertionError):
        assert_same("whole", "resumed")


def test_the_state_in_memory_is_the_state_restored(make_session, differences) -> None:
    session = make_session("one")
    steps(session, 7)
    session.save()
    resumed = make_session("one")
    assert differences(resumed.learner.state_dict(), session.learner.state_dict()) == []
    assert differences(resumed.progress.state_dict(), session.progress.state_dict()) == []
    for ours, theirs in zip(resumed.learner.g_parameters, session.learner.g_parameters, strict=True):
        assert ours.stride() == theirs.stride()
    assert torch.equal(resumed.learner.fixed_latents, session.learner.fixed_latents)
    assert torch.equal(resumed.learner.batches.next(), session.learner.batches.next())


def test_time_goes_on_from_where_it_was(make_session) -> None:
    session = make_session("one")
    steps(session, 7)
    session.progress.elapsed_s = 1000.0
    session.save()
    resumed = make_session("one")
    finish(resumed)
    times = [row["elapsed_s"] for row in resumed.progress.rows]
    assert times == sorted(times)
    assert 1000.0 < times[-1] == resumed.summary()["train_s"]


@pytest.mark.slow
def test_a_trial_that_dies_before_any_write_has_every_step_once_after_it_went_on(
    make_session, assert_same, tmp_path: Path
) -> None:
    """Among them: between the samples and the metrics, and between the metrics and the checkpoint."""
    finish(make_session("whole"))
    for at in range(1, 10):
        error = Crash() if at % 2 else StorageUnavailable("bucket: no answer; try again")
        with pytest.raises(type(error)):
            finish(make_session(FailingStore(tmp_path / f"died-{at}", at, error)))
        finish(make_session(f"died-{at}"))
        assert_same("whole", f"died-{at}")
    assert finish(make_session(FailingStore(tmp_path / "all", 10, Crash()))).progress.done


def test_metrics_that_were_stored_ahead_of_the_checkpoint_are_not_doubled(make_session, tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "died", 6, Crash())  # the second epoch's checkpoint
    with pytest.raises(Crash):
        finish(make_session(store))
    assert pd.read_parquet(tmp_path / "died" / "metrics")["step"].tolist() == [4, 8]
    session = make_session("died")
    assert session.progress.step == 5
    steps(session, 5)
    assert (tmp_path / "died" / "samples" / ID / "epoch-0002.png").exists()
    assert pd.read_parquet(tmp_path / "died" / "metrics")["step"].tolist() == [4, 8]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are stored as soon as they are logged, between checkpoints too."""
    monkeypatch.setattr(session_module, "PUBLISH_S", 0.0)
    monkeypatch.setattr(session_module, "_PUBLISH_SHARE", float("inf"))


@pytest.mark.usefixtures("published")
def test_rows_that_were_stored_since_the_checkpoint_are_there_once_after_the_trial_went_on(
    make_session, assert_same, tmp_path: Path
) -> None:
    finish(make_session("whole"))
    session = make_session("died")
    for step, stored in ((4, [4]), (5, [4]), (8, [4, 8]), (9, [4, 8])):
        steps(session, step - session.progress.step)
        assert pd.read_parquet(tmp_path / "died" / "metrics")["step"].tolist() == stored
    resumed = make_session("died")  # killed, with a row that the checkpoint of step 5 does not have
    assert (resumed.progress.step, [row["step"] for row in resumed.progress.rows]) == (5, [4])
    while not resumed.progress.done:
        resumed.advance(0.0)
    assert pd.read_parquet(tmp_path / "died" / "metrics")["step"].tolist() == [4, 8, 12, 15]
    assert_same("whole", "died")


@pytest.mark.usefixtures("published")
def test_rows_for_who_watches_wait_for_no_storage(make_session, assert_same, tmp_path: Path) -> None:
    finish(make_session("whole"))
    session = make_session(FailingStore(tmp_path / "down", 1, StorageUnavailable("bucket: no answer; try again")))
    steps(session, 4)
    assert not (tmp_path / "down" / "metrics").exists()
    finish(session)
    assert_same("whole", "down")


SCRIPT = """
import sys, pathlib, torch
from orchestrator.store.local import LocalStore
from orchestrator.training.session import Session
from orchestrator.training.settings import TrialSettings
trial_id, settings, images, root, steps = sys.argv[1:]
torch.set_num_threads(1)
trial, store = TrialSettings.model_validate_json(settings), LocalStore(pathlib.Path(root))
session = Session(trial_id, trial, torch.load(images), store)
while not session.progress.done and session.progress.step < int(steps):
    session.advance(0.0)
session.save()
"""


@pytest.mark.slow
def test_other_processes_go_on_with_the_same_numbers(
    make_trial, images, make_session, assert_same, tmp_path: Path
) -> None:
    finish(make_session("whole"))
    torch.save(images, tmp_path / "images.pt")
    settings = make_trial(**RHYTHM).model_dump_json()
    for until in ("7", "1000"):
        command = [sys.executable, "-c", SCRIPT, ID, settings, tmp_path / "images.pt", tmp_path / "resumed", until]
        subprocess.run(command, check=True)
    assert_same("whole", "resumed")


@pytest.mark.parametrize(
    ("then", "now", "goes_on"),
    [("aa", "aa", True), ("aa", "bb", False), (None, "bb", True), ("aa", None, True)],
)
def test_a_trial_goes_on_on_the_images_it_began_with_alone(
    make_trial, images, tmp_path: Path, then: str | None, now: str | None, goes_on: bool
) -> None:
    """An earlier version's checkpoint does not say which they were."""
    store = LocalStore(tmp_path)
    begun = Session(ID, make_trial(**RHYTHM), images, store, fingerprint=then)
    begun.advance(60)
    begun.save()
    store.write(f"checkpoints/{ID}.best.pt", b"the best generator of then")
    again = Session(ID, make_trial(**RHYTHM), images, store, fingerprint=now)
    assert (again.resumes, again.progress.step > 0) == ((1, True) if goes_on else (0, False))
    assert (store.keys("checkpoints") != []) == goes_on
