from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from orchestrator.objectives.binary_cross_entropy import NonSaturating, Saturating
from tests.objectives.outputs import d_loss, g_loss

SATURATING, NON_SATURATING = Saturating(kind="saturating"), NonSaturating(kind="non_saturating")

some_scores = st.lists(st.floats(-15, 15), min_size=1, max_size=20)


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def sigma(scores: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(scores, dtype=np.float64)))


def gradient(loss: torch.Tensor, scores: torch.Tensor) -> np.ndarray:
    """Of each image's own loss: the mean's, times the number of images."""
    return torch.autograd.grad(loss, scores)[0].numpy() * len(scores)


@given(real=some_scores, fake=some_scores)
@settings(deadline=None)
def test_losses_are_the_definitions(real: list[float], fake: list[float]) -> None:
    d_real, d_fake = tensor(real), tensor(fake)
    expected = -np.log(sigma(real)).mean() - np.log(1 - sigma(fake)).mean()
    for objective in (SATURATING, NON_SATURATING):
        assert d_loss(objective, d_real, d_fake).item() == pytest.approx(expected, rel=1e-9)
    assert g_loss(SATURATING, d_fake).item() == pytest.approx(np.log(1 - sigma(fake)).mean(), rel=1e-9)
    assert g_loss(NON_SATURATING, d_fake).item() == pytest.approx(-np.log(sigma(fake)).mean(), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1, 10, 1000])
def test_losses_are_torchs_cross_entropy(scale: float, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    real, fake = scale * torch.randn(2, 64, generator=random, dtype=dtype)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    torch.testing.assert_close(
        d_loss(SATURATING, real, fake),
        binary_cross_entropy_with_logits(real, ones) + binary_cross_entropy_with_logits(fake, zeros),
    )
    torch.testing.assert_close(g_loss(SATURATING, fake), -binary_cross_entropy_with_logits(fake, zeros))
    torch.testing.assert_close(g_loss(NON_SATURATING, fake), binary_cross_entropy_with_logits(fake, ones))


@given(real=some_scores, fake=some_scores)
@settings(deadline=None)
def test_gradients_are_the_closed_forms(real: list[float], fake: list[float]) -> None:
    d_real, d_fake = tensor(real), tensor(fake)
    loss = d_loss(SATURATING, d_real, d_fake)
    np.testing.assert_allclose(gradient(g_loss(SATURATING, d_fake), d_fake), -sigma(fake), rtol=1e-9)
    np.testing.assert_allclose(gradient(g_loss(NON_SATURATING, d_fake), d_fake), -sigma(-d_fake.detach()), rtol=1e-9)
    of_real, of_fake = torch.autograd.grad(loss, (d_real, d_fake))
    np.testing.assert_allclose(of_real.numpy() * len(real), sigma(real) - 1, rtol=1e-6)
    np.testing.assert_allclose(of_fake.numpy() * len(fake), sigma(fake), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_decisive_discriminator_starves_one_generator_and_not_the_other(dtype: torch.dtype) -> None:
    """At F = -40 the saturating gradient is e^-40, which is lost in any sum; the other is -1."""
    d_fake = torch.full((4,), -40.0, dtype=dtype, requires_grad=True)
    starved = gradient(g_loss(SATURATING, d_fake), d_fake)
    np.testing.assert_allclose(starved, -math.exp(-40), rtol=1e-5)
    np.testing.assert_allclose(gradient(g_loss(NON_SATURATING, d_fake), d_fake), -1, rtol=1e-6)
    assert g_loss(NON_SATURATING, d_fake).item() == pytest.approx(40)
    assert abs(g_loss(SATURATING, d_fake).item()) < 1e-16


def test_a_fooled_discriminator_does_the_reverse() -> None:
    d_fake = torch.full((4,), 40.0, dtype=torch.float64, requires_grad=True)
    np.testing.assert_allclose(gradient(g_loss(SATURATING, d_fake), d_fake), -1, rtol=1e-12)
    np.testing.assert_allclose(gradient(g_loss(NON_SATURATING, d_fake), d_fake), -math.exp(-40), rtol=1e-6)


def test_an_undecided_discriminator_gives_both_the_same_gradient_and_its_known_losses() -> None:
    """The equilibrium of the paper: D's loss is log 4, both generators' gradients are -1/2."""
    undecided = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    assert d_loss(SATURATING, undecided, undecided).item() == pytest.approx(math.log(4), rel=1e-15)
    for objective in (SATURATING, NON_SATURATING):
        np.testing.assert_allclose(gradient(g_loss(objective, undecided), undecided), -0.5, rtol=1e-15)
