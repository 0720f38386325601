"""A trial whose minutes have passed ends with what it has; its row says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.metrics.health import Condition
from orchestrator.state.ledger import Status
from orchestrator.store.local import LocalStore
from orchestrator.training.session import Session
from tests.training.test_health import ID, LONG, finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def start(make_trial: Any, images: Any, tmp_path: Path) -> Callable[..., Session]:
    def make(**training: Any) -> Session:
        trial = make_trial(**{"epochs": 8, "log_every": 4, "max_minutes": 1.5} | training)
        return Session(ID, trial, images, LocalStore(tmp_path))

    return make


def test_it_ends_at_the_end_of_the_slice_in_which_they_pass(start: Callable[..., Session]) -> None:
    session = start()
    session.progress.elapsed_s = 89.0  # what it trains for here takes less than a second
    session.advance(0.0)
    assert (session.progress.step, session.progress.done) == (1, False)
    session.progress.elapsed_s = 90.0
    session.advance(0.0)
    assert (session.progress.step, session.progress.stopped) == (2, "timeout")
    assert Status(session.progress.stopped).final
    summary = session.summary()
    assert (summary["step"], summary["epoch"]) == (2, 0.4)
    assert summary["train_s"] >= 90
    assert session.store.keys("samples") == [f"samples/{ID}/epoch-0001.png"]
    again = start()
    assert (again.progress.step, again.progress.stopped, again.resumes) == (2, "timeout", 0)


def test_what_it_trained_before_an_interruption_counts(start: Callable[..., Session]) -> None:
    session = start()
    session.advance(0.0)
    session.progress.elapsed_s = 60.0
    session.save()
    again = start()
    assert (again.progress.elapsed_s, again.progress.done) == (60.0, False)
    again.progress.elapsed_s += 30.0
    again.advance(0.0)
    assert again.progress.stopped == "timeout"


def test_a_trial_that_is_in_time_finishes(start: Callable[..., Session]) -> None:
    session = finish(start())
    assert (session.progress.step, session.progress.stopped) == (40, None)
    session.progress.elapsed_s = 1e6
    session.save()
    assert start().progress.stopped is None


def test_without_a_limit_none_is_kept(start: Callable[..., Session]) -> None:
    session = start(max_minutes=None)
    session.progress.elapsed_s = LONG * 1e6
    session.advance(0.0)
    assert not session.progress.done


def test_a_condition_is_told_before_it(start: Callable[..., Session], monkeypatch: pytest.MonkeyPatch) -> None:
    session = start(stop_when=["diverged"])
    session.progress.elapsed_s = 90.0
    monkeypatch.setattr(type(session.progress.health), "first_of", lambda *_: Condition.DIVERGED)
    session.advance(0.0)
    assert session.progress.stopped is Condition.DIVERGED
