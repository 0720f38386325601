"""Truncated normal numbers, against scipy's distribution and its moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from orchestrator.evaluations.inputs.sampling import truncated_normal

THRESHOLDS = [1e-6, 0.04, 0.5, 1.0, 2.0, 6.0, math.inf]


def drawn(threshold: float, size: tuple[int, ...] = (200, 250), seed: int = 3) -> torch.Tensor:
    return truncated_normal(size, threshold, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_they_have_the_distribution(threshold: float) -> None:
    truth = stats.truncnorm(-threshold, threshold) if threshold < 30 else stats.norm()
    if threshold < 1e-3:  # all but uniform, and scipy's moments cancel
        truth = stats.uniform(-threshold, 2 * threshold)
    indices = drawn(threshold)
    assert (indices.shape, indices.dtype) == ((200, 250), torch.float32)
    assert float(indices.abs().max()) <= np.float32(threshold)
    values = indices.double().numpy().ravel()
    assert stats.kstest(values, truth.cdf).pvalue > 0.01
    for order, tolerance in ((1, 5), (2, 5), (3, 5), (4, 5)):
        spread = math.sqrt((truth.moment(2 * order) - truth.moment(order) ** 2) / values.size)
        assert abs((values**order).mean() - truth.moment(order)) < tolerance * spread


@pytest.mark.parametrize("threshold", [0.04, 1.0, 3.0])
def test_they_are_the_inverse_of_the_distribution_function(threshold: float) -> None:
    """The same draws under each threshold, so that each number is scipy's quantile of one and the same share."""
    shares = stats.norm.cdf(drawn(math.inf, (500,)).double().numpy())
    expected = stats.truncnorm.ppf(shares, -threshold, threshold)
    np.testing.assert_allclose(drawn(threshold, (500,)).double().numpy(), expected, rtol=1e-5, atol=1e-6 * threshold)


def test_the_outermost_draws_are_finite() -> None:
    class Ends:
        """The least and the largest number that torch draws from [0, 1)."""

        @staticmethod
        def rand(*size: int, **_: object) -> torch.Tensor:
            return torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "rand", Ends.rand)
        low, high = truncated_normal((2,), math.inf, torch.Generator()).tolist()
        assert -low == high == pytest.approx(stats.norm.isf(2.0**-54), rel=1e-6)
        assert truncated_normal((2,), 0.1, torch.Generator()).tolist() == pytest.approx([-0.1, 0.1], rel=1e-6)
