from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import mse_loss

from orchestrator.objectives.least_squares import LeastSquares
from tests.objectives.outputs import d_loss, g_loss

OBJECTIVE = LeastSquares(kind="least_squares")

some_scores = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


@given(real=some_scores, fake=some_scores)
@settings(deadline=None)
def test_losses_and_gradients_are_the_closed_forms(real: list[float], fake: list[float]) -> None:
    """Targets 1 for real, 0 for generated, and 1 for the generator: (a, b, c) = (0, 1, 1)."""
    d_real, d_fake = (torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in (real, fake))
    r, f = np.asarray(real), np.asarray(fake)
    of_d, of_g = d_loss(OBJECTIVE, d_real, d_fake), g_loss(OBJECTIVE, d_fake)
    assert of_d.item() == pytest.approx(((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, rel=1e-12)
    assert of_g.item() == pytest.approx(((f - 1) ** 2).mean() / 2, rel=1e-12)
    of_real, of_fake = torch.autograd.grad(of_d, (d_real, d_fake))
    (for_generator,) = torch.autograd.grad(of_g, d_fake)
    np.testing.assert_allclose(of_real.numpy() * len(r), r - 1, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(of_fake.numpy() * len(f), f, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(for_generator.numpy() * len(f), f - 1, rtol=1e-9, atol=1e-9)


def test_losses_are_half_of_torchs_mean_squared_errors() -> None:
    real, fake = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    ones, zeros = torch.ones(64), torch.zeros(64)
    torch.testing.assert_close(2 * d_loss(OBJECTIVE, real, fake), mse_loss(real, ones) + mse_loss(fake, zeros))
    torch.testing.assert_close(2 * g_loss(OBJECTIVE, fake), mse_loss(fake, ones))


def test_the_generators_gradient_grows_with_the_distance_from_its_target() -> None:
    """It neither vanishes nor levels off where D is sure of a fake, and is nothing where D is at the target."""
    d_fake = torch.tensor([-40.0, 1.0, 40.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(g_loss(OBJECTIVE, d_fake), d_fake)
    np.testing.assert_allclose(gradient.numpy() * 3, [-41, 0, 39], rtol=1e-12)


def test_a_perfect_discriminator_has_no_loss() -> None:
    assert d_loss(OBJECTIVE, torch.ones(3), torch.zeros(3)).item() == 0
