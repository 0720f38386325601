"""Penalties on codes against sums written out, scipy's moments, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from orchestrator.objectives._latent_penalties import mmd, moment_penalty


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def normal(random: torch.Generator, n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def mmd_written_out(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        distance = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        bases = [scale * 2 * len(a) for scale in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        return sum(base / (base + distance) for base in bases)

    within = [
        sum(k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j) / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    return sum(within) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.parametrize(("n", "m", "d"), [(6, 9, 3), (2, 2, 1), (8, 5, 20)])
def test_the_discrepancy_is_the_sum_over_all_pairs(random, n: int, m: int, d: int) -> None:
    codes, prior = 1.5 * normal(random, n, d) + 0.3, normal(random, m, d)
    expected = mmd_written_out(codes.numpy(), prior.numpy())
    assert mmd(codes, prior).item() == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert mmd(codes.float(), prior.float()).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_discrepancy_of_one_distribution_is_zero_on_average_and_may_be_negative(random) -> None:
    found = [mmd(normal(random, 20, 4), normal(random, 30, 4)).item() for _ in range(400)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found))


@pytest.mark.parametrize(("spread", "shift"), [(1.0, 1.0), (0.3, 0.0), (3.0, 0.0)])
def test_the_discrepancy_sees_a_shift_and_a_spread(random, spread: float, shift: float) -> None:
    codes, prior = normal(random, 100, 4), normal(random, 100, 4)
    assert mmd(spread * codes + shift, prior) > 10 * mmd(codes, prior).abs()


def test_distances_of_codes_far_from_the_origin_do_not_cancel(random) -> None:
    # in single precision |x|^2 + |y|^2 - 2 x.y would be wrong by more than the distances themselves
    codes = (10_000 + normal(random, 6, 3)).float()
    prior = normal(random, 5, 3).float()
    expected = mmd_written_out(codes.double().numpy(), prior.double().numpy())
    assert mmd(codes, prior).item() == pytest.approx(expected, rel=1e-6)


def test_gradients_of_the_discrepancy_are_finite_differences_and_finite_where_codes_coincide(random) -> None:
    codes, prior = normal(random, 5, 3), normal(random, 4, 3)
    codes[1], codes[2] = codes[0], prior[0]
    assert torch.autograd.gradcheck(mmd, (codes.requires_grad_(), prior))
    same = torch.zeros(3, 2, requires_grad=True)
    mmd(same, torch.zeros(3, 2)).backward()
    assert torch.equal(same.grad, torch.zeros(3, 2))


def test_moments_are_those_of_scipy(random) -> None:
    codes = (normal(random, 50, 7) * 2 + 0.5).exp()
    x = codes.numpy()
    kurtosis = stats.kurtosis(x, axis=0, fisher=False)
    expected = np.mean([x.mean(0) ** 2, (x.var(0) - 1) ** 2, (kurtosis - 3) ** 2])
    assert moment_penalty(codes).item() == pytest.approx(expected, rel=1e-12)
    assert moment_penalty(codes.float()).item() == pytest.approx(expected, rel=1e-4)


def test_numbers_with_the_moments_of_the_normal_distribution_cost_nothing() -> None:
    """0 four times and the roots of 3: mean 0, variance 6 / 6, fourth moment 18 / 6."""
    codes = torch.tensor([0.0, 0.0, 0.0, 0.0, math.sqrt(3), -math.sqrt(3)], dtype=torch.float64)[:, None]
    assert moment_penalty(codes).item() == pytest.approx(0.0, abs=1e-14)
    # moved by 1, and spread twice as wide: one term each
    assert moment_penalty(codes + 1).item() == pytest.approx(1 / 3)
    assert moment_penalty(codes * 2).item() == pytest.approx(9 / 3)


def test_gradients_of_the_moments_are_finite_differences(random) -> None:
    assert torch.autograd.gradcheck(moment_penalty, (normal(random, 6, 3).requires_grad_(),))


def test_a_constant_coordinate_is_pulled_to_the_mean_alone(random) -> None:
    codes = torch.cat([torch.full((8, 1), 0.7, dtype=torch.float64), normal(random, 8, 1)], 1).requires_grad_()
    found = moment_penalty(codes)
    assert found.item() == pytest.approx(((0.7**2 + 10) / 3 + moment_penalty(codes[:, 1:]).item()) / 2)
    found.backward()
    torch.testing.assert_close(codes.grad[:, 0], torch.full((8,), 2 * 0.7 / 8 / 2 / 3, dtype=torch.float64))


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4, 1e-6, 1e-12, 1e-24, 0.0])
def test_nearly_constant_coordinates_have_finite_gradients(random, spread: float) -> None:
    codes = (0.3 + spread * normal(random, 16, 4)).float().requires_grad_()
    found = moment_penalty(codes)
    found.backward()
    assert 0 < found < 16**2  # a kurtosis is at most the number of codes
    assert codes.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_codes_in_half_precision_are_computed_in_single(random, dtype: torch.dtype) -> None:
    codes, prior = (12 * normal(random, 64, 3)).to(dtype), normal(random, 64, 3).to(dtype)
    for half, single in (
        (moment_penalty(codes), moment_penalty(codes.float())),
        (mmd(codes, prior), mmd(codes.float(), prior.float())),
    ):
        assert half.dtype == torch.float32
        assert half == single


def test_the_penalty_of_two_halves_is_not_that_of_the_whole_batch() -> None:
    """So that processes have to join their codes before, not average their penalties after.

    One half at -1, the other at 1: together they have mean 0 and variance 1, each by itself mean 1 and variance 0.
    """
    halves = torch.full((4, 2), -1.0), torch.full((4, 2), 1.0)
    whole = torch.cat(halves)
    prior = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    assert moment_penalty(whole).item() == pytest.approx(4 / 3)
    assert [moment_penalty(half).item() for half in halves] == pytest.approx([11 / 3, 11 / 3])
    apart = [mmd(half, part).item() for half, part in zip(halves, prior.split(4), strict=True)]
    assert np.mean(apart) > mmd(whole, prior).item() + 0.5
