"""How learning rates fall, against torch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, ReduceLROnPlateau

from orchestrator.distributed.group import ALONE
from orchestrator.training.lr_schedule import PlateauState, Schedule
from orchestrator.training.progress import Progress
from tests.distributed.trials import make_gan, trial

TOTAL = 21


def rates_of_torch(kind: str, final: float) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    last = TOTAL - 1
    scheduler = (
        LinearLR(optimizer, 1.0, final or 1e-12, total_iters=last)
        if kind == "linear"
        else CosineAnnealingLR(optimizer, last, eta_min=final)
    )
    rates = []
    for _ in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("final", [0.0, 0.25])
def test_rates_are_those_of_torchs_schedulers(kind: str, final: float) -> None:
    schedule = Schedule.model_validate({"kind": kind, "final": final})
    ours = [schedule.factor(step / (TOTAL - 1)) for step in range(TOTAL)]
    assert ours == pytest.approx(rates_of_torch(kind, final), abs=1e-9)


def test_a_constant_rate_is_constant() -> None:
    assert {Schedule().factor(done) for done in (0.0, 0.3, 1.0)} == {1.0}


def test_a_plateau_halves_as_torchs_does() -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.01)
    schedule, stall = Schedule(kind="plateau", patience_epochs=3), PlateauState()
    # Falls, stalls, falls by less than 1 %, falls again.
    for mean in [1.0, 0.8, 0.8, 0.81, 0.799, 0.85, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7]:
        stall = schedule.observe(stall, mean)
        theirs.step(mean)
        assert stall.factor == optimizer.param_groups[0]["lr"]
    assert stall.factor < 0.5


@pytest.mark.parametrize(("means", "factor"), [([-5.0] * 9, 0.0625), ([-5.0 + 0.05 * n for n in range(9)], 0.0625)])
def test_a_negative_measure_stalls_when_it_stays_or_rises(means: list[float], factor: float) -> None:
    schedule, stall = Schedule(kind="plateau", patience_epochs=2), PlateauState()
    for mean in means:
        stall = schedule.observe(stall, mean)
    assert stall.factor == factor
    falling = PlateauState()
    for number in range(9):
        falling = schedule.observe(falling, -5.0 - 0.06 * number)
    assert falling.factor == 1.0


@pytest.mark.parametrize(
    "raw",
    [{"final": 0.1}, {"measure": "d_loss"}, {"kind": "plateau", "final": 0.1}, {"kind": "cosine", "measure": "k"}],
)
def test_settings_of_another_kind_are_refused(raw: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="has none; take it out, or choose another kind"):
        Schedule.model_validate(raw)
    assert Schedule.model_validate(Schedule(kind="cosine", final=0.5).model_dump()).final == 0.5


def test_a_plateau_hears_of_every_epoch_whatever_the_rows_are_logged_at() -> None:
    settings = trial(epochs=4, log_every=100, schedule={"kind": "plateau", "measure": "d_loss"})
    progress = Progress(make_gan(ALONE, settings), 3, None)
    heard: list[float] = []
    progress.learner.rates.end_epoch = lambda means: heard.append(means["d_loss"])  # type: ignore[method-assign]
    while not progress.done:
        progress.advance(3)
    assert [row["step"] for row in progress.rows] == [3, 6, 9, 12]
    assert heard == [row["d_loss"] for row in progress.rows]


def test_both_networks_rates_fall_from_their_own() -> None:
    gan = make_gan(
        ALONE,
        trial(epochs=2, g_optimizer={"lr": 0.01}, d_optimizer={"lr": 0.04}, schedule={"kind": "linear"}),
    )
    assert gan.rates.total_steps == 6  # 40 images in batches of 12
    seen = []
    for _ in range(6):
        gan.step()
        seen.append((gan.g_optimizer.param_groups[0]["lr"], gan.d_optimizer.param_groups[0]["lr"]))
    assert [g for g, _ in seen] == pytest.approx([0.01 * (1 - n / 5) for n in range(6)], abs=1e-12)
    assert [d for _, d in seen] == pytest.approx([0.04 * (1 - n / 5) for n in range(6)], abs=1e-12)


def test_a_plateau_of_a_signal_halves_both_rates_and_is_a_part_of_the_state() -> None:
    schedule = {"kind": "plateau", "measure": "d_loss", "patience_epochs": 1}
    gan = make_gan(ALONE, trial(g_optimizer={"lr": 0.01}, schedule=schedule))
    for mean in (1.0, 1.0, 1.0):
        gan.rates.end_epoch({"d_loss": mean})
    assert gan.rates.plateau == PlateauState(1.0, 0, 0.25)
    gan.step()
    assert gan.g_optimizer.param_groups[0]["lr"] == 0.0025
    other = make_gan(ALONE, trial(g_optimizer={"lr": 0.01}, schedule=schedule))
    other.load_state_dict(gan.state_dict())
    assert (other.rates.plateau, other.steps) == (gan.rates.plateau, 1)
    assert math.isfinite(other.step().sum())
