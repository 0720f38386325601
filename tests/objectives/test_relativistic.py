"""RSGAN, RaSGAN and RaLSGAN against sums written out pair by pair, and against torch's own losses."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import mse_loss

from tests.objectives.outputs import d_loss, g_loss, objective

if TYPE_CHECKING:
    from torch import Tensor


def scores(seed: int = 0, count: int = 16) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    real, fake = 2 * torch.randn(2, count, generator=random, dtype=torch.float64)
    return real.requires_grad_(), fake.requires_grad_()


def test_rsgan_is_the_mean_log_probability_that_each_real_image_beats_its_own_generated_one() -> None:
    rsgan, (real, fake) = objective("rsgan"), scores()
    pairs = list(zip(real.tolist(), fake.tolist(), strict=True))
    expected = np.mean([-math.log(1 / (1 + math.exp(-(r - f)))) for r, f in pairs])
    assert d_loss(rsgan, real, fake).item() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(g_loss(rsgan, fake, real), d_loss(rsgan, fake, real))
    # The closed form of the generator's gradient in a score: -sigma(C_r - C_f).
    (gradient,) = torch.autograd.grad(g_loss(rsgan, fake, real), fake)
    torch.testing.assert_close(gradient * 16, -torch.sigmoid(real - fake).detach())


def test_rasgan_is_two_cross_entropies_against_the_other_kinds_mean() -> None:
    rasgan, (real, fake) = objective("rasgan"), scores()
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    expected = 0.5 * (bce(real - fake.mean(), ones) + bce(fake - real.mean(), zeros))
    torch.testing.assert_close(d_loss(rasgan, real, fake), expected)
    swapped = 0.5 * (bce(real - fake.mean(), zeros) + bce(fake - real.mean(), ones))
    torch.testing.assert_close(g_loss(rasgan, fake, real), swapped)


def test_ralsgan_is_two_squared_distances_from_the_other_kinds_mean() -> None:
    ralsgan, (real, fake) = objective("ralsgan"), scores()
    ones = torch.ones_like(real)
    expected = 0.5 * (mse_loss(real - fake.mean(), ones) + mse_loss(fake - real.mean(), -ones))
    torch.testing.assert_close(d_loss(ralsgan, real, fake), expected)
    swapped = 0.5 * (mse_loss(real - fake.mean(), -ones) + mse_loss(fake - real.mean(), ones))
    torch.testing.assert_close(g_loss(ralsgan, fake, real), swapped)


@pytest.mark.parametrize("kind", ["rasgan", "ralsgan"])
def test_the_generators_gradient_goes_through_the_mean_in_the_real_term_too(kind: str) -> None:
    """By hand: the derivative of each term, those of the real term through mean C_f alone."""
    chosen, (real, fake) = objective(kind), scores(1, 5)
    (gradient,) = torch.autograd.grad(g_loss(chosen, fake, real), fake)
    r, f = real.detach().numpy(), fake.detach().numpy()
    expected = np.zeros(5)
    for i, j in product(range(5), range(5)):
        ahead_fake, ahead_real = f[i] - r.mean(), r[j] - f.mean()
        if kind == "rasgan":
            own, through_mean = -1 / (1 + math.exp(ahead_fake)), -1 / (1 + math.exp(-ahead_real))
        else:
            own, through_mean = 2 * (ahead_fake - 1), -2 * (ahead_real + 1)
        # Each generated score counts once in its own term and with 1/5 in each of the five real ones.
        expected[i] += 0.5 * own / 25 + 0.5 * through_mean / 25
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", ["rsgan", "rasgan", "ralsgan"])
def test_only_differences_of_scores_count(kind: str) -> None:
    chosen, (real, fake) = objective(kind), scores()
    torch.testing.assert_close(d_loss(chosen, real + 100, fake + 100), d_loss(chosen, real, fake))


def test_labels_of_rasgan_smooth_the_discriminator_alone() -> None:
    smooth, plain, (real, fake) = objective("rasgan", labels={"real": 0.9}), objective("rasgan"), scores()
    nine = torch.full_like(real, 0.9)
    expected = 0.5 * (bce(real - fake.mean(), nine) + bce(fake - real.mean(), torch.zeros_like(real)))
    torch.testing.assert_close(d_loss(smooth, real, fake), expected)
    torch.testing.assert_close(g_loss(smooth, fake, real), g_loss(plain, fake, real))
