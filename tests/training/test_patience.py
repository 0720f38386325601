"""Trials that no longer improve: the rule on series whose answer is known, and trials that it ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from orchestrator.store.local import LocalStore
from orchestrator.training.patience import MEASURES, NO_IMPROVEMENT, Improvement, Patience
from orchestrator.training.session import Session
from tests.jobs import trial_settings
from tests.training.test_health import ID, LONG, Told, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

STEPS = 10
"""Steps in an epoch."""


def ends_at(patience: Patience, values: Sequence[float | None], every: int = STEPS) -> int | None:
    """The step at which a series ends a trial, one value every so many steps; None where it does not."""
    state = Improvement()
    for number, value in enumerate(values, start=1):
        state = patience.observe(state, {"step": number * every, patience.measure: value}, STEPS)
        if state.over:
            return number * every
    return None


@pytest.mark.parametrize("epochs", [1, 3, 7])
def test_a_parabola_ends_its_patience_after_its_lowest_point(epochs: int) -> None:
    """(n - 12)^2 is lowest at the 12th epoch, and so ends at the one of 12 + patience."""
    parabola = [float((n - 12) ** 2) for n in range(1, 40)]
    assert ends_at(Patience(epochs=epochs), parabola) == (12 + epochs) * STEPS
    risen = [-value for value in parabola]
    assert ends_at(Patience(measure="modes", epochs=epochs), risen) == (12 + epochs) * STEPS


def test_what_falls_for_ever_is_never_ended() -> None:
    assert ends_at(Patience(epochs=1), [1 / n for n in range(1, 200)]) is None
    assert ends_at(Patience(epochs=1), [1 - 1 / n for n in range(1, 200)]) == 2 * STEPS


def test_stairs_outlast_a_patience_of_the_length_of_a_step() -> None:
    """-floor(n / 5) has a new lowest value every five epochs."""
    steps_down = [-float(n // 5) for n in range(100)]
    assert ends_at(Patience(epochs=4), steps_down) == 5 * STEPS
    assert ends_at(Patience(epochs=5), steps_down) is None


def test_values_between_epochs_and_gaps_are_told_by_their_steps() -> None:
    """Two epochs of 10 steps after the value at step 4, at the first value from there on."""
    assert ends_at(Patience(epochs=2), [1.0] * 40, every=4) == 24
    assert ends_at(Patience(epochs=2), [1.0, None, math.nan, None, math.inf, None, 1.0]) == 7 * STEPS
    assert ends_at(Patience(epochs=2), [None, math.nan] * 20) is None


def test_only_measures_with_a_better_direction() -> None:
    assert {"fid", "m_global", "bits_per_dimension", "reconstruction"} < set(MEASURES)
    assert not {"d_loss", "diversity", "images_per_second"} & set(MEASURES)


@pytest.fixture
def start(make_trial: Any, images: Any, tmp_path: Path) -> Callable[..., Session]:
    def make(looks: Sequence[float], **training: Any) -> Session:
        asked = {"measure_every": 1, "stop_when": [NO_IMPROVEMENT], "patience": {"epochs": 2}}
        trial = make_trial(**{"epochs": 8, "log_every": 4, "measure_samples": 200} | asked | training)
        return Session(ID, trial, images, LocalStore(tmp_path), sample_metrics=Told([(fid, 10) for fid in looks]))

    return make


def test_it_ends_the_trial_that_asks_for_it(start: Callable[..., Session]) -> None:
    looks = [50.0, 30.0, 40.0, 31.0, 29.0]
    session = finish(start(looks))
    assert session.progress.stopped == NO_IMPROVEMENT
    assert (session.progress.step, session.summary()["best_step"]) == (20, 10)
    session.store.delete(f"checkpoints/{ID}.pt")
    patient = finish(start([*looks, 28.0, 27.0, 26.0], patience={"epochs": 3}))
    assert (patient.progress.step, patient.progress.stopped) == (40, None)


def test_interrupted_and_stored_it_ends_where_it_would_have(start: Callable[..., Session]) -> None:
    looks = [50.0, 30.0, 40.0, 31.0]
    session = start(looks)
    while session.progress.step < 15:
        session.advance(LONG)
    again = start(looks[3:])
    assert again.progress.improvement == session.progress.improvement == Improvement(30.0, 10)
    finish(again)
    assert (again.progress.step, again.progress.stopped) == (20, NO_IMPROVEMENT)
    assert start([]).progress.done


def test_a_collapse_is_told_before_it(start: Callable[..., Session]) -> None:
    session = finish(start([40.0, 30.0, 90.0, 95.0], stop_when=["collapsed", NO_IMPROVEMENT]))
    assert (session.progress.step, session.progress.stopped) == (20, "collapsed")


def test_a_measure_of_training_steps_counts_once_a_row(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow whose rate is next to nothing: its likelihood is that of the batches."""
    patience = {"measure": "bits_per_dimension", "epochs": 2}
    trial = trial_settings(
        model={"kind": "glow", "levels": 1, "steps": 1, "width": 2},
        objective={"kind": "likelihood"},
        training={"batch_size": 4, "epochs": 8, "log_every": 5, "stop_when": [NO_IMPROVEMENT], "patience": patience},
    )
    session = Session(ID, trial, images, LocalStore(tmp_path))
    monkeypatch.setattr(session.learner, "step", lambda: torch.ones(len(session.learner.metric_names)))
    finish(session)
    assert (session.progress.step, session.progress.stopped) == (15, NO_IMPROVEMENT)
    assert session.progress.improvement == Improvement(1.0, 5, True)
