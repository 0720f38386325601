"""Distributions of codes against scipy's tests and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from orchestrator.metrics.latent_normality import cdf, ks_distance, mean_ks
from orchestrator.store.columns import CDF_POINTS


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def test_the_points_are_quarters_from_minus_four_to_four() -> None:
    np.testing.assert_array_equal(CDF_POINTS, np.linspace(-4, 4, 33))


def test_shares_are_those_of_scipys_distribution_function(random) -> None:
    codes = torch.randn(40, 3, generator=random) * 1.5 + 0.2
    ours = cdf(codes, torch.tensor(CDF_POINTS))
    theirs = stats.ecdf(codes.double().numpy().ravel()).cdf.evaluate(np.array(CDF_POINTS))
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)
    assert 0 < ours[0] + ours[-1] < 2


def test_a_number_at_a_point_is_counted() -> None:
    codes = torch.tensor([[1.0, -1.0], [0.25, 1.0]])
    expected = torch.tensor([0.0, 0.25, 0.25, 0.5, 0.5, 1.0], dtype=torch.float64)
    assert torch.equal(cdf(codes, torch.tensor([-1.25, -1.0, 0.0, 0.25, 0.5, 1.0])), expected)


@pytest.mark.parametrize(("spread", "shift"), [(1.0, 0.0), (0.4, 0.3), (3.0, -1.0)])
def test_the_distance_is_that_of_scipys_test(random, spread: float, shift: float) -> None:
    codes = torch.randn(30, 4, generator=random) * spread + shift
    x = codes.double().numpy()
    assert ks_distance(codes) == pytest.approx(stats.kstest(x.ravel(), "norm").statistic, rel=1e-12)
    each = [stats.kstest(column, "norm").statistic for column in x.T]
    assert mean_ks(codes) == pytest.approx(np.mean(each), rel=1e-12)


def test_ties_are_one_jump(random) -> None:
    codes = (torch.randn(50, 2, generator=random) * 2).round() / 2
    assert ks_distance(codes) == pytest.approx(
        stats.kstest(codes.double().numpy().ravel(), "norm").statistic, rel=1e-12
    )


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0, 40.0])
def test_codes_of_one_value_jump_there(value: float) -> None:
    below = stats.norm.cdf(value)
    expected = max(below, 1 - below)
    codes = torch.full((5, 3), value)
    assert [ks_distance(codes), mean_ks(codes)] == pytest.approx([expected, expected], rel=1e-12)


def quantiles(n: int) -> torch.Tensor:
    """Numbers that halve the steps of the standard normal distribution function."""
    return torch.from_numpy(stats.norm.ppf((np.arange(n) + 0.5) / n))[:, None]


def test_the_best_of_samples_is_half_a_step_away() -> None:
    assert ks_distance(quantiles(100)) == pytest.approx(1 / 200, rel=1e-9)


@pytest.mark.parametrize("shift", [0.5, -1.0])
def test_a_shifted_normal_distribution_is_furthest_half_way(shift: float) -> None:
    expected = 2 * stats.norm.cdf(abs(shift) / 2) - 1
    assert ks_distance(quantiles(10_000) + shift) == pytest.approx(expected, abs=1e-4)


def test_coordinates_that_are_wrong_in_opposite_ways_are_seen_apart_only() -> None:
    """One too low and one too high: all their numbers together are nearly normal."""
    codes = torch.cat([quantiles(1000) - 0.5, quantiles(1000) + 0.5], 1)
    assert mean_ks(codes) == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=1e-3)
    assert ks_distance(codes) < mean_ks(codes) / 4


def test_of_normal_codes_it_is_the_mean_of_kolmogorovs_distribution(random) -> None:
    expected = math.sqrt(math.pi / 2) * math.log(2)
    assert expected == pytest.approx(stats.kstwobign.mean())
    codes = torch.randn(1000, 2000, generator=random)
    assert mean_ks(codes) * math.sqrt(1000) == pytest.approx(expected, rel=0.02)
