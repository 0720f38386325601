from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.objectives.adversarial import UpdateContext
from tests.objectives.outputs import d_loss, g_loss, judged, objective, update_of

NOISE = torch.Generator()
errors = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=8)


def run(gamma: float, lambda_k: float, real: list[float], fake: list[float]) -> list[dict[str, float]]:
    """States of the controller after each step of two lists of mean errors."""
    began = objective("began", gamma=gamma, lambda_k=lambda_k)
    state, seen = began.initial_state(), []
    for of_real, of_fake in zip(real, fake, strict=True):
        state = began.next_state(
            UpdateContext(state, NOISE), *torch.tensor([[of_real], [of_fake]], dtype=torch.float64)
        )
        seen.append({name: value.item() for name, value in state.items()})
    return seen


def test_losses_are_the_papers_with_the_k_of_the_state() -> None:
    began = objective("began")
    real, fake = torch.tensor([0.2, 0.4]), torch.tensor([0.1, 0.5])
    state = {**began.initial_state(), "k": torch.tensor(0.25, dtype=torch.float64)}
    loss = began.discriminator(judged(real), judged(fake), update_of(began, state=state))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.3 - 0.25 * 0.3)
    assert g_loss(began, fake).item() == pytest.approx(0.3)
    start = began.discriminator(judged(real), judged(fake), update_of(began, state=began.initial_state()))
    assert start.item() == pytest.approx(0.3)  # k_0 = 0: at first D is but an autoencoder of real images
    assert d_loss(began, real, fake).item() == pytest.approx(0.3 - 0.5 * 0.3)


@given(st.floats(0.01, 1.0), st.floats(1e-4, 2.0), errors)
def test_k_follows_the_papers_rule_and_never_leaves_its_range(gamma: float, lambda_k: float, real: list[float]) -> None:
    fake = real[::-1]
    k = 0.0
    for state, r, f in zip(run(gamma, lambda_k, real, fake), real, fake, strict=True):
        k = min(max(k + lambda_k * (gamma * r - f), 0.0), 1.0)
        assert state["k"] == pytest.approx(k, abs=1e-6)
        assert state["m_global"] == pytest.approx(r + abs(gamma * r - f), abs=1e-6)
        if r > 1e-3:
            assert state["loss_ratio"] == pytest.approx(f / r, rel=1e-5, abs=1e-6)


def test_the_controller_brings_the_ratio_of_errors_to_gamma() -> None:
    """A model of training: the more k there is, the more D neglects generated images and the larger their error."""
    began, state, ratio = objective("began", gamma=0.5, lambda_k=0.05), None, 0.0
    state = began.initial_state()
    for _ in range(2000):
        ratio = 0.2 + 0.6 * state["k"].item()
        state = began.next_state(UpdateContext(state, NOISE), torch.tensor([1.0]), torch.tensor([ratio]))
    assert ratio == pytest.approx(0.5, abs=1e-3)


def test_k_is_one_number_of_the_whole_batch() -> None:
    began = objective("began", lambda_k=0.1)
    real, fake = torch.rand(2, 12, generator=torch.Generator().manual_seed(0))
    together = began.next_state(UpdateContext(began.initial_state(), NOISE), real, fake)["k"].item()
    expected = max(0.0, 0.1 * (0.5 * float(np.mean(real.numpy())) - float(np.mean(fake.numpy()))))
    assert together == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("settings", [{"gamma": 0.0}, {"gamma": 1.01}, {"lambda_k": 0.0}, {"lambda_k": -0.1}])
def test_a_gamma_or_a_gain_that_cannot_be_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"greater than|less than"):
        objective("began", **settings)


def test_it_draws_latent_vectors_of_its_own_for_the_generator() -> None:
    assert objective("began").fresh_latents
    assert not objective("non_saturating").fresh_latents
