"""Effect sizes, robust means and corrected p-values, against scipy and plain definitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.spec.claims import Scale
from orchestrator.statistics.effects import hedges_g, holm, interquartile_mean, probability_above
from orchestrator.statistics.intervals import compare

A, B = [3.1, 2.9, 3.4, 3.3, 3.2], [4.0, 3.6, 4.4]
SIDE = st.lists(st.integers(0, 5), min_size=2, max_size=7)


def g(a: Any, b: Any, **how: Any) -> float | None:
    return hedges_g(compare(a, b, Scale.NUMBER, **how))


def test_hedges_g_is_the_difference_over_the_pooled_standard_deviation_without_its_bias() -> None:
    pooled = math.sqrt((4 * np.var(A, ddof=1) + 2 * np.var(B, ddof=1)) / 6)
    factor = stats.chi(6).mean() ** -1 * math.sqrt(6) * (1 - 1 / 6)  # J(f) = E[sd / sigma] f - 1 over f, exact
    found = g(A, B)
    assert found == pytest.approx((np.mean(A) - np.mean(B)) / pooled * factor)
    assert found == pytest.approx((np.mean(A) - np.mean(B)) / pooled * (1 - 3 / (4 * 6 - 1)), rel=2e-3)  # Hedges (1981)
    assert g(np.exp(A), np.exp(B), ratio=True) == pytest.approx(found)


def test_over_many_studies_it_is_the_true_size() -> None:
    rng = np.random.default_rng(0)
    found = [g(rng.normal(1.5, size=4), rng.normal(size=4)) for _ in range(300)]
    assert np.mean([one for one in found if one is not None]) == pytest.approx(1.5, abs=0.15)


def test_pairs_and_constants_have_the_spread_of_their_differences() -> None:
    differences = np.array(A[:3]) - np.array(B)
    expected = differences.mean() / differences.std(ddof=1) * (1 - 3 / (4 * 2 - 1))
    assert g(A[:3], B, paired=True) == pytest.approx(expected, rel=0.02)
    assert g(A, 3.0) == pytest.approx((np.mean(A) - 3) / np.std(A, ddof=1) * (1 - 3 / (4 * 4 - 1)), rel=5e-3)


def test_without_a_spread_there_is_no_size() -> None:
    assert g([1.0, 1.0], [2.0, 2.0]) is None
    assert g([1.0, 2.0], [2.0, 4.0], paired=True) is None  # one degree of freedom: the mean of |1/t| has no end
    assert hedges_g(compare([0.0, 1.0], [1.0, 1.0], Scale.YES_NO)) is None


@given(SIDE, SIDE)
def test_the_probability_is_that_of_mann_and_whitney(a: list[int], b: list[int]) -> None:
    pairs = [1.0 if x > y else 0.5 if x == y else 0.0 for x, y in itertools.product(a, b)]
    found = probability_above([float(x) for x in a], [float(y) for y in b], paired=False)
    assert found == pytest.approx(np.mean(pairs))
    if len(set(a + b)) > 1:
        assert found == pytest.approx(stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))


def test_the_probability_within_pairs_and_against_a_constant() -> None:
    assert probability_above([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 3.0], paired=True) == 0.625
    assert probability_above([1.0, 2.0, 3.0], 2.0, paired=False) == 0.5


def test_interquartile_means_are_of_ten_values_or_more() -> None:
    values = [float(n) for n in range(11)] + [1e9]
    assert interquartile_mean(values) == np.mean([3, 4, 5, 6, 7, 8])
    assert interquartile_mean(values[:9]) is None


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_rejects(p_values: list[float | None], level: float) -> None:
    """The least is held to level / m, the next to level / (m - 1), until one is not below."""
    adjusted = holm(p_values)
    rest = sorted(p for p in p_values if p is not None)
    rejected = list(itertools.takewhile(lambda pair: pair[1] <= level / (len(rest) - pair[0]), enumerate(rest)))
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    close = any(abs(p - level / (len(rest) - place)) < 1e-12 for place, p in enumerate(rest))
    assert close or sum(p is not None and p <= level for p in adjusted) == len(rejected)


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = [0.01, 0.2, 0.03, 0.001, 0.03]
    assert holm(p_values) == pytest.approx(list(multitest.multipletests(p_values, method="holm")[1]))
    assert holm(p_values) == pytest.approx([0.04, 0.2, 0.09, 0.005, 0.09])
