"""The loop: its windows, their means, its budget, its clock, and how it notices numbers that are none."""

from __future__ import annotations

import math
import pickle
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from orchestrator.errors import NonFiniteLossError
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.store.columns import METRICS, SAMPLE_METRICS, TRAINING_METRICS, TRIALS
from orchestrator.training.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.training.gan import Gan

EPOCH = 5
STEPS = 15  # three epochs of five


@pytest.fixture
def make_progress(make_gan):
    def make(*args: Any, **training: Any) -> Progress:
        return Progress(make_gan(*args, **{"epochs": 3, "log_every": 4} | training), 5)

    return make


def finish(progress: Progress, budget_s: float = 1e6) -> list[int]:
    """Train to the end in slices of such a budget; the steps done after each."""
    stops = []
    while not progress.done:
        progress.advance(progress.steps_within(budget_s))
        stops.append(progress.step)
    return stops


def watch(gan: Gan) -> list[np.ndarray]:
    """Every step's signals, as they come."""
    seen: list[np.ndarray] = []
    step = gan.step

    def noted() -> torch.Tensor:
        signals = step()
        seen.append(signals.double().numpy())
        return signals

    gan.step = noted  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize(
    ("log_every", "windows"),
    [
        (1, [(s - 1, s) for s in range(1, 16)]),
        (4, [(0, 4), (4, 8), (8, 12), (12, 15)]),
        (5, [(0, 5), (5, 10), (10, 15)]),
        (15, [(0, 15)]),
        (1000, [(0, 15)]),
    ],
)
def test_rows_are_the_means_of_their_windows_and_the_last_is_never_lost(
    make_progress, log_every: int, windows: list[tuple[int, int]]
) -> None:
    progress = make_progress(log_every=log_every)
    seen = watch(progress.learner)
    finish(progress)
    assert [row["step"] for row in progress.rows] == [end for _, end in windows]
    for row, (begin, end) in zip(progress.rows, windows, strict=True):
        means = np.mean(seen[begin:end], axis=0)
        np.testing.assert_allclose([row[name] for name in progress.learner.metric_names], means, rtol=1e-12)
        assert row["epoch"] == end / 5


OF_OTHERS = ["reconstruction", "latent_penalty", "penalty_weight", "bits_per_dimension"]
"""Signals of objectives without a discriminator of images."""


def test_rows_and_summary_have_the_columns_of_the_results(make_progress) -> None:
    progress = make_progress()
    finish(progress)
    for row in progress.rows:
        absent = {column.name for column in TRAINING_METRICS} - set(progress.learner.metric_names)
        assert absent == {"d_penalty", "k", "m_global", "loss_ratio", *OF_OTHERS}
        absent |= {"latent_cdf", *(column.name for column in SAMPLE_METRICS)}
        assert {"trial_id", *row} == {column.name for column in METRICS} - absent
        assert row["health"] == "healthy"
        assert all(type(value) in (int, float) for name, value in row.items() if name != "health")
    summary = progress.summary()
    assert set(summary) <= {column.name for column in TRIALS}
    found = {name for name, value in summary.items() if value is not None}
    assert found == {"step", "epoch", "train_s", "images_per_second", *progress.learner.metric_names}


def test_the_summary_is_the_mean_over_the_last_epochs_steps(make_progress) -> None:
    progress = make_progress(log_every=2)  # rows at 2, 4, ... 14 and 15; the last epoch's are 12, 14 and 15
    seen = watch(progress.learner)
    finish(progress)
    summary = progress.summary()
    assert (summary["step"], summary["epoch"]) == (15, 3.0)
    expected = np.mean(seen[10:], axis=0)
    np.testing.assert_allclose([summary[name] for name in progress.learner.metric_names], expected, rtol=1e-12)


def test_the_summary_falls_back_on_the_last_row_and_then_on_none(make_progress) -> None:
    progress = make_progress(log_every=4, epochs=10)
    progress.advance(1)
    known = {name for name, value in progress.summary().items() if value is not None}
    assert known == {"step", "epoch", "images_per_second", "train_s"}
    while progress.step < 4:
        progress.advance(1)
    progress.learner.settings = progress.learner.settings.model_copy(update={"log_every": 1000})
    while progress.step < 14:
        progress.advance(1)
    (row,) = progress.rows
    summary = progress.summary()
    assert all(summary[name] == row[name] for name in progress.learner.metric_names)


class Clock:
    """Goes on by the seconds that a step is said to take, whenever one is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gan: Gan, seconds: Iterator[float]) -> None:
        self.now, step = 100.0, gan.step

        def timed() -> torch.Tensor:
            self.now += next(seconds)
            return step()

        gan.step = timed  # type: ignore[method-assign]
        monkeypatch.setattr("orchestrator.training.progress.time.perf_counter", lambda: self.now)


def test_time_and_speed(make_progress, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step takes a second here: 3 updates of D on 4 images each."""
    progress = make_progress(d_steps=3, g_steps=2)
    Clock(monkeypatch, progress.learner, repeat(1.0))
    finish(progress)
    assert [row["elapsed_s"] for row in progress.rows] == [4, 8, 12, 15]
    assert [row["images_per_second"] for row in progress.rows] == [12] * 4
    assert progress.summary()["images_per_second"] == 12
    assert progress.summary()["train_s"] == 15


@pytest.mark.parametrize(
    ("budget_s", "stops"),
    [
        (0.0, list(range(1, 16))),
        (1.9, list(range(1, 16))),
        (2.5, [1, 2, 4, 5, 7, 9, 10, 12, 14, 15]),
        (4.5, [1, 2, 4, 5, 9, 10, 14, 15]),
        (1e6, [1, 2, 4, 5, 10, 15]),
    ],
)
def test_a_slice_ends_with_its_budget_or_the_epoch(
    make_progress, monkeypatch: pytest.MonkeyPatch, budget_s: float, stops: list[int]
) -> None:
    progress = make_progress()
    Clock(monkeypatch, progress.learner, repeat(1.0))
    assert finish(progress, budget_s) == stops


def test_slices_follow_the_speed_of_the_steps(make_progress, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow first step, then fast ones, then slow again: no slice is more than twice what has been made."""
    progress = make_progress(epochs=1)
    progress.steps_per_epoch = progress.total = 100
    Clock(monkeypatch, progress.learner, chain([5.0], repeat(0.1, 40), repeat(1.0)))
    stops = finish(progress, 1.0)
    assert stops[:6] == [1, 2, 4, 8, 16, 26]
    assert stops[6:9] == [36, 46, 47]
    assert set(np.diff(stops[9:])) == {1}


@pytest.mark.parametrize("steps", [0, -1, 6, 100])
def test_a_slice_has_a_step_at_least_and_stays_within_its_epoch(make_progress, steps: int) -> None:
    with pytest.raises(AssertionError):
        make_progress().advance(steps)


def test_time_between_calls_is_not_training(make_progress, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = make_progress()
    clock = Clock(monkeypatch, progress.learner, repeat(1.0))
    while not progress.done:
        progress.advance(1)
        clock.now += 1000
    assert progress.elapsed_s == 15


def test_how_a_trial_is_cut_into_calls_changes_no_number(make_progress, differences) -> None:
    one, other = make_progress(), make_progress()
    finish(one, 0.0)
    for _ in range(3):
        other.advance(EPOCH)
    assert differences(one.rows, other.rows, ("images_per_second", "elapsed_s")) == []
    assert differences(one.learner.state_dict(), other.learner.state_dict()) == []


class Poison:
    """Adds ``value`` to one loss at one step; infinity leaves the gradients, and so later steps, as they were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loss: str, at: int, value: float) -> None:
        original, self.calls = getattr(NonSaturating, loss), 0

        def poisoned(objective: NonSaturating, *said: Any) -> torch.Tensor:
            self.calls += 1
            return original(objective, *said) + (value if self.calls == at else 0.0)

        monkeypatch.setattr(NonSaturating, loss, poisoned)


@pytest.mark.parametrize("log_every", [1, 4, 1000])
@pytest.mark.parametrize("at", [1, 4, 6, 15])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("loss", ["discriminator", "generator"])
def test_a_loss_that_is_no_number_ends_the_trial_with_its_very_step(
    make_progress, monkeypatch: pytest.MonkeyPatch, loss: str, value: float, at: int, log_every: int
) -> None:
    Poison(monkeypatch, loss, at, value)
    progress = make_progress(log_every=log_every)
    with pytest.raises(NonFiniteLossError, match=rf"^loss is not finite at step {at}$") as caught:
        finish(progress)
    assert caught.value.step == at
    assert [row["step"] for row in progress.rows] == list(range(log_every, at, log_every))
    assert all(math.isfinite(row[name]) for row in progress.rows for name in progress.learner.metric_names)
    assert progress.step == min(math.ceil(at / log_every) * log_every, STEPS)


def test_weights_that_are_no_numbers_are_noticed_at_the_next_step(make_progress) -> None:
    progress = make_progress()
    for _ in range(6):
        progress.advance(1)
    with torch.no_grad():
        progress.learner.g_parameters[0][0, 0, 0, 0] = math.nan
    with pytest.raises(NonFiniteLossError) as caught:
        finish(progress)
    assert caught.value.step == 7


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_interruption_between_the_bad_step_and_its_notice_does_not_hide_it(
    make_progress, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    Poison(monkeypatch, "discriminator", 6, value)
    progress = make_progress()
    for _ in range(7):
        progress.advance(1)
    resumed = make_progress()
    resumed.learner.load_state_dict(progress.learner.state_dict())
    resumed.load_state_dict(progress.state_dict())
    with pytest.raises(NonFiniteLossError) as caught:
        finish(resumed)
    assert caught.value.step == 6


def test_the_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(NonFiniteLossError(17)))  # noqa: S301 - our own bytes
    assert (error.step, str(error)) == (17, "loss is not finite at step 17")
