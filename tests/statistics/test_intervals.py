"""Intervals and their p-values: against scipy, tables of the literature, and distributions whose means are known."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.coverage import LEAST, coverage, coverage_of_shares, main
from orchestrator.spec.claims import Scale
from orchestrator.statistics import intervals
from orchestrator.statistics.intervals import Design, Interval, compare

NUMBER, WHOLE, YES_NO = Scale.NUMBER, Scale.WHOLE, Scale.YES_NO
A, B = [3.1, 2.9, 3.4, 3.3], [4.0, 3.6, 4.4, 3.7]


def yes(hits: int, of: int) -> list[float]:
    return [1.0] * hits + [0.0] * (of - hits)


def interval(a: Any, b: Any, scale: Scale, **how: Any) -> Interval:
    return compare(a, b, scale, **how).interval


def test_a_few_pairs_have_the_interval_of_scipy_s_paired_t_test() -> None:
    found = interval(A, B, Scale.NUMBER, paired=True)
    expected = stats.ttest_rel(A, B).confidence_interval()
    assert found.estimate == pytest.approx(np.mean(A) - np.mean(B))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("b", [B, B[:3], [*B, 3.9, 4.1]])
def test_models_trained_apart_have_that_of_welch_s_test(b: list[float]) -> None:
    found = interval(A, b, Scale.NUMBER, paired=False)
    expected = stats.ttest_ind(A, b, equal_var=False).confidence_interval()
    assert found.estimate == pytest.approx(np.mean(A) - np.mean(b))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("paired", [True, False])
def test_a_ratio_is_a_difference_of_logarithms(paired: bool) -> None:
    found = interval(A, B, Scale.NUMBER, paired=paired, ratio=True)
    logarithms = np.log(A), np.log(B)
    test = stats.ttest_rel(*logarithms) if paired else stats.ttest_ind(*logarithms, equal_var=False)
    expected = test.confidence_interval()
    assert found.estimate == pytest.approx(stats.gmean(A) / stats.gmean(B))
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))


def test_many_skewed_seeds_reach_as_far_as_scipy_s_percentile_bootstrap() -> None:
    values = np.random.default_rng(3).lognormal(sigma=1.5, size=25)
    found = interval(list(values), [0.0] * 25, Scale.NUMBER, paired=True)
    plain = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    student = stats.ttest_1samp(values, 0).confidence_interval()
    assert plain.high > student.high
    assert found.high == pytest.approx(plain.high, rel=0.02)
    assert found.low == pytest.approx(student.low)


def test_independent_sides_are_resampled_apart() -> None:
    values = np.random.default_rng(4).lognormal(sigma=1.5, size=25)
    others = np.random.default_rng(5).normal(size=20)
    found = interval(list(values), list(others), Scale.NUMBER, paired=False)
    plain = stats.bootstrap(
        (values, others), lambda a, b, axis: a.mean(axis) - b.mean(axis), method="percentile", n_resamples=20_000,
        rng=1,
    ).confidence_interval  # fmt: skip
    assert found.high == pytest.approx(plain.high, rel=0.02)


@pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (2, 5), (5, 5), (10, 10)])
def test_shares_are_held_as_often_as_it_says_whatever_they_are(seeds: tuple[int, int]) -> None:
    """Over every outcome of two binomial draws, each by its probability: 95 % on average over the shares.

    Where these are the same, a claim that one is greater is supported in 2.5 % of studies at most.
    """
    counts = [np.arange(number + 1) for number in seeds]
    found = [[interval(yes(i, seeds[0]), yes(j, seeds[1]), YES_NO, paired=False) for j in counts[1]] for i in counts[0]]
    low, high = (np.array([[getattr(one, end) for one in row] for row in found]) for end in ("low", "high"))
    coverage = []
    for p, q in itertools.product(np.linspace(0, 1, 21), repeat=2):
        weights = np.outer(*(stats.binom.pmf(i, n, share) for i, n, share in zip(counts, seeds, (p, q), strict=True)))
        coverage.append(weights[(low - 1e-9 <= p - q) & (p - q <= high + 1e-9)].sum())
        assert p != q or weights[low > 0].sum() <= 0.025
    assert min(coverage) > 0.8
    assert np.mean(coverage) > 0.95


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 12])
def test_so_are_shares_of_pairs(seeds: int) -> None:
    """Over every number of pairs that differ one way or the other, three outcomes by their probabilities.

    Where all pairs differ and chance alone decides how, seven of eight one way are supported: 9 / 256.
    """
    counts = [(more, less) for more in range(seeds + 1) for less in range(seeds + 1 - more)]
    found = [
        interval([1] * more + [0] * (seeds - more), [0] * more + yes(less, seeds - more), YES_NO, paired=True)
        for more, less in counts
    ]
    coverage = []
    for p, q in itertools.product(np.linspace(0, 1, 21), repeat=2):
        if p + q > 1 + 1e-9:
            continue
        rest = max(0.0, 1 - p - q)
        weights = stats.multinomial.pmf([(i, j, seeds - i - j) for i, j in counts], seeds, [p, q, rest])
        held = [one.low - 1e-9 <= p - q <= one.high + 1e-9 for one in found]
        coverage.append(weights[held].sum())
        assert p != q or weights[[one.low > 0 for one in found]].sum() <= 0.036
    assert min(coverage) > 0.8
    assert np.mean(coverage) > 0.95


def test_counts_are_known_to_their_unit_only() -> None:
    """Three seeds of 10 and of 1 mode each: a spread of nothing is that of rounding, 1/12 for each side."""
    found = interval([10, 10, 10], [1, 1, 1], Scale.WHOLE, paired=True)
    half = stats.t.ppf(0.975, 2) * math.sqrt(2 / 12 / 3)
    assert (found.low, found.high) == pytest.approx((9 - half, 9 + half))
    ratio = interval([10, 10, 10], [1, 1, 1], Scale.WHOLE, paired=True, ratio=True)
    half = stats.t.ppf(0.975, 2) * math.sqrt((1 / 12 + 1 / 1200) / 3)
    assert math.log(ratio.high) == pytest.approx(math.log(10) + half)


@pytest.mark.parametrize(
    ("draw", "mean", "least"),
    [
        (lambda rng, size: rng.normal(2.0, 3.0, size), 2.0, 0.94),
        (lambda rng, size: rng.uniform(0.0, 1.0, size), 0.5, 0.92),
        (lambda rng, size: rng.exponential(1.0, size), 1.0, 0.87),
    ],
    ids=["normal", "uniform", "exponential"],
)
@pytest.mark.parametrize("seeds", [3, 5])
def test_it_holds_the_true_mean_as_often_as_it_says(
    draw: object, mean: float, least: float, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 95 % of studies where differences are normal; somewhat less where they are skewed, but not 75 %."""
    monkeypatch.setattr(intervals, "RESAMPLES", 100)
    rng, studies = np.random.default_rng(0), 600
    held = alone = 0
    for _ in range(studies):
        values = draw(rng, seeds)  # type: ignore[operator]
        found = interval(values, np.zeros(seeds), Scale.NUMBER, paired=True)
        held += found.low <= mean <= found.high
        alone += values.min() <= mean <= values.max()
    assert held / studies >= least
    assert seeds > 3 or alone / studies < 0.85  # what the percentile bootstrap could hold at most


def test_it_is_the_same_every_time() -> None:
    assert interval(A, B, Scale.NUMBER, paired=True) == interval(A, B, Scale.NUMBER, paired=True)


@pytest.mark.parametrize("value", [3.0, 3.5, -1.0])
def test_a_constant_has_the_interval_of_scipy_s_one_sample_t_test(value: float) -> None:
    found = interval(A, value, NUMBER)
    expected = stats.ttest_1samp(A, value).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low - value, expected.high - value))


@pytest.mark.parametrize(("hits", "of"), [(0, 3), (2, 3), (5, 5), (4, 10)])
@pytest.mark.parametrize("constant", [0.0, 0.3, 0.5, 1.0])
def test_a_share_has_the_interval_and_the_p_values_of_scipy_s_binomial_test(
    hits: int, of: int, constant: float
) -> None:
    found = compare(yes(hits, of), constant, YES_NO)
    expected = stats.binomtest(hits, of).proportion_ci(method="exact")
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (expected.low - constant, expected.high - constant)
    )
    for p_value, alternative in ((found.p_above(0), "greater"), (found.p_below(0), "less")):
        assert p_value == pytest.approx(stats.binomtest(hits, of, constant, alternative=alternative).pvalue)


@pytest.mark.parametrize("bound", [0.0, -0.4, -0.75, -1.3, 2.0])
@pytest.mark.parametrize("design", list(Design))
def test_p_values_of_few_seeds_are_those_of_scipy_s_t_tests(bound: float, design: Design) -> None:
    """Where the bootstrap's are smaller, as they are far from the estimate; near it neither is small."""
    moved = list(np.array(A) - bound)
    if design is Design.CONSTANT:
        found, tests = compare(A, 3.9, NUMBER), stats.ttest_1samp
        expected = [tests(moved, 3.9, alternative=side).pvalue for side in ("greater", "less")]
    elif design is Design.PAIRED:
        found = compare(A, B, NUMBER, paired=True)
        expected = [stats.ttest_rel(moved, B, alternative=side).pvalue for side in ("greater", "less")]
    else:
        found = compare(A, B, NUMBER)
        expected = [stats.ttest_ind(moved, B, equal_var=False, alternative=side).pvalue for side in ("greater", "less")]
    for p_value, of_t in zip((found.p_above(bound), found.p_below(bound)), expected, strict=True):
        assert p_value == pytest.approx(of_t) if of_t < 0.05 else p_value >= of_t - 1e-12


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.1, 100), min_size=2, max_size=8),
    st.lists(st.floats(0.1, 100), min_size=2, max_size=8),
    st.sampled_from([NUMBER, WHOLE, YES_NO]),
    st.sampled_from(list(Design)),
    st.booleans(),
    st.floats(-1.5, 1.5),
)
def test_a_p_value_is_below_its_level_just_where_the_interval_excludes_the_bound(
    a: list[float], b: list[float], scale: Scale, design: Design, ratio: bool, place: float
) -> None:
    if scale is YES_NO:
        a, b, ratio = [float(x > 30) for x in a], [float(x > 30) for x in b], False
    than: Any = b if design is not Design.CONSTANT else 0.5
    if design is Design.PAIRED:
        a, than = a[: len(b)], b[: len(a)]
    found = compare(a, than, scale, paired=design is Design.PAIRED, ratio=ratio)
    low, high = found.interval.low, found.interval.high
    if low == high:
        return
    bounds = [low + (high - low) * (0.5 + place), low * (1 - 1e-6 * np.sign(low)), high * (1 + 1e-6 * np.sign(high))]
    for bound in bounds:
        if (ratio and bound <= 0) or (scale is YES_NO and abs(bound) >= 1):
            continue
        assert (found.p_above(bound) < 0.025) == (bound < low)
        assert (found.p_below(bound) < 0.025) == (bound > high)


def test_bounds_without_an_end_are_certain() -> None:
    for than in (B, 3.0, 0.5):
        found = compare(A if than != 0.5 else [0.0, 0.0], than, YES_NO if than == 0.5 else NUMBER)
        assert (found.p_above(-math.inf), found.p_below(math.inf)) == (0.0, 0.0)
        assert (found.p_above(math.inf), found.p_below(-math.inf)) == (1.0, 1.0)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_a_share_is_called_greater_by_chance_in_no_more_studies_than_it_says(seeds: int, constant: float) -> None:
    """Over all outcomes, where the true share is the constant."""
    weights = stats.binom.pmf(range(seeds + 1), seeds, constant)
    found = [interval(yes(hits, seeds), constant, YES_NO) for hits in range(seeds + 1)]
    assert sum(weights[[one.low > 0 for one in found]]) <= 0.025
    assert sum(weights[[one.high < 0 for one in found]]) <= 0.025


@pytest.mark.parametrize(
    ("values", "design"), [("normal", Design.PAIRED), ("lognormal", Design.INDEPENDENT), ("bimodal", Design.CONSTANT)]
)
def test_coverage_is_what_docs_verdicts_says(values: str, design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few cells of its table, of few studies, with the bootstrap too narrow by itself."""
    monkeypatch.setattr(intervals, "RESAMPLES", 300)
    both, student, bootstrap = coverage(values, design, 3, studies=400)
    assert both >= LEAST[values] - 0.02
    assert both >= student >= bootstrap


@pytest.mark.parametrize("design", list(Design))
def test_coverage_of_shares_is_exact(design: Design) -> None:
    mean, least = coverage_of_shares(design, 3)
    assert (mean >= 0.95, least >= 0.87) == (True, True)


def test_the_table_of_coverage_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As Markdown, and as rows for ``make bench`` on the last line."""
    monkeypatch.setattr(intervals, "RESAMPLES", 20)
    monkeypatch.setattr("benchmarks.coverage.cells.__defaults__", (3,))
    main()
    *table, _, rows = capsys.readouterr().out.splitlines()
    assert len(json.loads(rows)) == len(table) - 2 == 12
    assert table[0] == "| values | compared with | n = 3 | n = 5 | n = 10 |"
