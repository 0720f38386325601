"""Trials that are watched: what is measured of samples, what is kept, and when a trial ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
import torch

from orchestrator.errors import NonFiniteLossError
from orchestrator.metrics.health import Condition
from orchestrator.objectives.binary_cross_entropy import BinaryCrossEntropy
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import load_best, load_checkpoint
from orchestrator.training.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

ID = "0123456789abcdef"
LONG = 1e6
GOOD = (40.0, 10)


class Look(NamedTuple):
    fid: float
    modes: int
    class_kl: float
    diversity: float


class Told:
    """A sample_metrics that says what it is told to, and keeps what it was shown."""

    classes, digest = 10, "feedc0de"

    def __init__(self, looks: Sequence[tuple[float, int]]) -> None:
        self.looks, self.shown = list(looks), []

    def quick(self, images: Tensor) -> Look:
        self.shown.append(images)
        fid, modes = self.looks.pop(0)
        return Look(fid, modes, 0.1, 0.9)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def start(make_trial, images, store: LocalStore) -> Callable[..., Session]:
    def make(sample_metrics: Any = None, **training: Any) -> Session:
        trial = make_trial(**{"epochs": 8, "log_every": 4, "measure_samples": 200} | training)
        return Session(ID, trial, images, store, sample_metrics=sample_metrics)

    return make


def finish(session: Session) -> Session:
    while not session.progress.done:
        session.advance(LONG)
    return session


def test_samples_are_measured_at_their_epochs_and_at_the_end(start, store: LocalStore) -> None:
    sample_metrics = Told([GOOD] * 3)
    session = finish(start(sample_metrics, measure_every=3))
    rows = pd.DataFrame(session.progress.rows).set_index("step")
    assert rows["fid"].dropna().index.tolist() == [15, 30, 40]
    assert {tuple(shown.shape) for shown in sample_metrics.shown} == {(200, 1, 28, 28)}
    assert sample_metrics.shown[0].dtype == torch.uint8
    assert not torch.equal(sample_metrics.shown[0], sample_metrics.shown[1])
    written = pd.read_parquet(f"{store.uri}/metrics").set_index("step")
    assert written["modes"].dropna().to_dict() == {15: 10, 30: 10, 40: 10}
    assert (session.summary()["fid"], session.summary()["classifier"]) == (40.0, "feedc0de")


def test_measuring_changes_no_number_of_the_training(start, differences) -> None:
    """Only where windows end."""
    plain = finish(start(epochs=3))
    plain.store.delete(f"checkpoints/{ID}.pt")
    measured = finish(start(Told([GOOD] * 3), measure_every=1, epochs=3))
    assert differences(plain.learner.state_dict(), measured.learner.state_dict()) == []


def test_the_generator_of_the_lowest_fid_is_kept(start, store: LocalStore) -> None:
    session = start(Told([(50.0, 10), (30.0, 10), (45.0, 10)]), measure_every=1, epochs=3)
    while session.progress.step < 10:
        session.advance(LONG)
    best = {name: value.clone() for name, value in session.learner.networks.state_dict().items()}
    finish(session)
    kept = load_best(store, ID)
    assert kept is not None
    assert (kept["step"], kept["fid"]) == (10, 30.0)
    assert kept["networks"].keys() == best.keys()
    assert all(torch.equal(kept["networks"][name], value) for name, value in best.items())
    summary = session.summary()
    assert (summary["best_fid"], summary["best_step"], summary["fid"]) == (30.0, 10, 45.0)


def test_the_averaged_generator_is_the_one_kept(start, store: LocalStore) -> None:
    session = finish(start(Told([GOOD]), measure_every=1, epochs=1, g_ema=0.5))
    kept = load_best(store, ID)
    assert kept is not None
    weights = session.learner.sampling_networks.state_dict()
    assert all(torch.equal(kept["networks"][name], value) for name, value in weights.items())
    name = next(iter(dict(session.learner.networks.named_parameters())))
    assert not torch.equal(kept["networks"][name], session.learner.networks.state_dict()[name])


def test_a_collapse_ends_the_trial_that_asks_for_it(start, store: LocalStore) -> None:
    looks = [(40.0, 9), (30.0, 10), (90.0, 10), (95.0, 10)]
    session = finish(start(Told(looks), measure_every=1, stop_when=["collapsed"]))
    assert session.progress.stopped is Condition.COLLAPSED
    summary = session.summary()
    assert (summary["step"], summary["collapsed_at"], summary["best_step"]) == (20, 20, 10)
    state, best = load_checkpoint(store, ID), load_best(store, ID)
    assert state is not None
    assert best is not None
    assert (state["progress"]["step"], best["step"]) == (20, 10)
    assert store.keys("samples")[-1] == f"samples/{ID}/epoch-0004.png"


def test_a_trial_that_does_not_ask_goes_on_and_says_so(start) -> None:
    looks = [(30.0, 10), (30.0, 10), *[(90.0, 10)] * 3]
    session = finish(start(Told(looks), measure_every=1, epochs=5, stop_when=["saturated"]))
    assert (session.progress.step, session.progress.stopped) == (25, None)
    assert session.summary()["collapsed_at"] == 20
    assert [row["health"] for row in session.progress.rows][-1] == "collapsed"


def test_a_saturated_trial_ends_within_an_epoch_at_the_same_step_however_it_is_cut(start, monkeypatch) -> None:
    """D's scores are pushed far down: sigma(F) is nothing, from the first step on."""
    ends = []
    for budget in (0.0, LONG):
        session = start(objective="saturating", epochs=20, stop_when=["saturated"], log_every=4)
        with torch.no_grad():
            session.learner.discriminator.head.bias.fill_(-50.0)
        for group in session.learner.d_optimizer.param_groups:
            group["lr"] = 0.0
        session.learner.rates.set_for = lambda step: None  # type: ignore[method-assign]
        while not session.progress.done:
            session.advance(budget)
        ends.append((session.progress.step, session.progress.stopped, session.summary()["saturated_at"]))
        session.store.delete(f"checkpoints/{ID}.pt")
    assert ends == [(12, Condition.SATURATED, 0)] * 2  # a tenth of 100 steps, at the end of a window of 4


def test_an_interrupted_trial_ends_where_it_would_have(start) -> None:
    looks = [(40.0, 9), (30.0, 10), (90.0, 10), (95.0, 10)]
    settings = {"measure_every": 1, "stop_when": ["collapsed"]}
    session = start(Told(looks), **settings)
    while session.progress.step < 15:
        session.advance(LONG)
    again = start(Told(looks[3:]), **settings)
    assert again.progress.health == session.progress.health
    assert again.summary()["fid"] == 90.0
    finish(again)
    assert (again.progress.step, again.progress.stopped) == (20, Condition.COLLAPSED)
    once_more = start(Told([]), **settings)
    assert once_more.progress.done
    assert once_more.resumes == again.resumes


def test_a_measuring_trial_takes_a_referee(start) -> None:
    with pytest.raises(AssertionError, match="sample_metrics"):
        start(None, measure_every=1)


def test_a_healthy_trial_is_let_alone(make_trial, store: LocalStore) -> None:
    """scikit-learn's digits, under all three conditions."""
    trial = make_trial(
        width=8, epochs=2, batch_size=64, stop_when=["saturated", "collapsed", "diverged"], measure_every=1
    )
    images = torch.tensor(trial.data.load().pixels)
    session = finish(Session(ID, trial, images, store, sample_metrics=Told([GOOD] * 2)))
    assert (session.progress.step, session.progress.stopped) == (46, None)
    assert session.progress.health.condition is Condition.HEALTHY


def test_a_loss_without_number_still_stops_the_step(start, monkeypatch) -> None:
    """It is the worker that makes ``diverged`` of it."""
    original = BinaryCrossEntropy.discriminator
    monkeypatch.setattr(BinaryCrossEntropy, "discriminator", lambda self, *said: original(self, *said) + float("nan"))
    with pytest.raises(NonFiniteLossError):
        finish(start(stop_when=["diverged"]))
