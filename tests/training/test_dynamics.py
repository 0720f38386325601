"""What a trial keeps beside its networks: a controller, averaged weights, noise; bitwise so over a checkpoint."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch

from orchestrator.distributed.group import ALONE
from orchestrator.objectives.began import Began
from tests.distributed.trials import EVERY, make_gan, trial

if TYPE_CHECKING:
    from orchestrator.training.gan import Gan

TRAINING: dict[str, Any] = {"g_ema": 0.9, "schedule": {"kind": "cosine"}, "d_steps": 2}


def named(gan: Gan) -> dict[str, float]:
    return dict(zip(gan.metric_names, gan.step().tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_a_trial_goes_on_bitwise_whatever_its_objective(kind: str) -> None:
    gan, other = (make_gan(ALONE, trial(kind, **TRAINING)) for _ in range(2))
    for _ in range(3):
        gan.step()
    other.load_state_dict(deepcopy(gan.state_dict()))
    for _ in range(2):
        assert torch.equal(gan.step(), other.step())
    assert torch.equal(gan.sample(gan.fixed_latents), other.sample(other.fixed_latents))


@pytest.mark.parametrize("kind", EVERY)
def test_every_signal_of_every_objective_is_a_number(kind: str) -> None:
    gan = make_gan(ALONE, trial(kind))
    assert gan.step().isfinite().all()


def test_began_controls_its_k_by_the_errors_of_the_step() -> None:
    """The rule written out, from the errors that the signals tell."""
    gan = make_gan(ALONE, trial("began"))
    assert isinstance(gan.objective, Began)
    gamma, gain, k = gan.objective.gamma, gan.objective.lambda_k, 0.0
    for _ in range(4):
        seen = named(gan)
        balance = gamma * seen["d_real"] - seen["d_fake"]
        k = min(max(k + gain * balance, 0.0), 1.0)
        assert seen["k"] == pytest.approx(k, abs=1e-9)
        assert seen["m_global"] == pytest.approx(seen["d_real"] + abs(balance), rel=1e-5)
        assert seen["loss_ratio"] == pytest.approx(seen["d_fake"] / seen["d_real"], rel=1e-5)
    assert "d_fake_probability" not in seen


def test_began_draws_latent_vectors_of_its_own_for_the_generator() -> None:
    drawn = []
    for kind in ("began", "ebgan"):
        gan, count = make_gan(ALONE, trial(kind)), []
        draw = gan._draw
        gan._draw = lambda draw=draw, count=count: count.append(1) or draw()  # type: ignore[method-assign,func-returns-value]
        gan.step()
        drawn.append(len(count))
    assert drawn == [2, 1]


def test_averaged_weights_are_the_running_mean_and_draw_the_samples() -> None:
    gan = make_gan(ALONE, trial(g_ema=0.3, g_optimizer={"lr": 0.05}))
    mean = [parameter.detach().clone() for parameter in gan.g_parameters]
    for kept in (2 / 11, 3 / 12, 0.3, 0.3):  # (1 + n) / (10 + n) until that is more
        gan.step()
        now = [parameter.detach().clone() for parameter in gan.g_parameters]
        mean = [kept * m + (1 - kept) * n for m, n in zip(mean, now, strict=True)]
    assert gan.averaged is not None
    for ours, theirs in zip(gan.averaged.module.parameters(), mean, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    samples = gan.sample(gan.fixed_latents)
    gan.averaged, kept = None, gan.averaged
    assert not torch.allclose(samples, gan.sample(gan.fixed_latents))
    for (name, ours), theirs in zip(kept.module.named_buffers(), gan.generator.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_random_labels_are_the_trials_own_and_never_torchs_global_ones() -> None:
    one, other = (make_gan(ALONE, trial("smoothed labels")) for _ in range(2))
    state = torch.get_rng_state()
    first = one.step()
    torch.manual_seed(1)
    assert torch.equal(first, other.step())
    torch.set_rng_state(state)
    assert not torch.equal(one.noise.get_state(), torch.Generator().get_state())
