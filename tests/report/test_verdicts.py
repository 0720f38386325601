"""Verdicts and their intervals: against scipy, tables of the literature, and distributions whose means are known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestrator.report import verdicts
from orchestrator.report.verdicts import Word, compare, judge
from orchestrator.spec.claims import Scale

YES_NO = Scale.YES_NO
A, B = [3.1, 2.9, 3.4, 3.3], [4.0, 3.6, 4.4, 3.7]


def yes(hits: int, of: int) -> list[float]:
    return [1.0] * hits + [0.0] * (of - hits)


def word(a: list[float], b: list[float], scale: Scale = Scale.NUMBER, better: str = "lower", **how: Any) -> Word:
    return judge(a, b, scale, better, **{"paired": True, **how}).word  # type: ignore[arg-type]


class TestIntervals:
    def test_a_few_pairs_have_the_interval_of_scipy_s_paired_t_test(self) -> None:
        found = compare(A, B, Scale.NUMBER, paired=True)
        expected = stats.ttest_rel(A, B).confidence_interval()
        assert found.estimate == pytest.approx(np.mean(A) - np.mean(B))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))

    @pytest.mark.parametrize("b", [B, B[:3], [*B, 3.9, 4.1]])
    def test_models_trained_apart_have_that_of_welch_s_test(self, b: list[float]) -> None:
        found = compare(A, b, Scale.NUMBER, paired=False)
        expected = stats.ttest_ind(A, b, equal_var=False).confidence_interval()
        assert found.estimate == pytest.approx(np.mean(A) - np.mean(b))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))

    @pytest.mark.parametrize("paired", [True, False])
    def test_a_ratio_is_a_difference_of_logarithms(self, paired: bool) -> None:
        found = compare(A, B, Scale.NUMBER, paired=paired, ratio=True)
        logarithms = np.log(A), np.log(B)
        test = stats.ttest_rel(*logarithms) if paired else stats.ttest_ind(*logarithms, equal_var=False)
        expected = test.confidence_interval()
        assert found.estimate == pytest.approx(stats.gmean(A) / stats.gmean(B))
        assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))

    def test_many_skewed_seeds_reach_as_far_as_scipy_s_percentile_bootstrap(self) -> None:
        values = np.random.default_rng(3).lognormal(sigma=1.5, size=25)
        found = compare(list(values), [0.0] * 25, Scale.NUMBER, paired=True)
        plain = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
        student = stats.ttest_1samp(values, 0).confidence_interval()
        assert plain.high > student.high
        assert found.high == pytest.approx(plain.high, rel=0.02)
        assert found.low == pytest.approx(student.low)

    def test_independent_sides_are_resampled_apart(self) -> None:
        values = np.random.default_rng(4).lognormal(sigma=1.5, size=25)
        others = np.random.default_rng(5).normal(size=20)
        found = compare(list(values), list(others), Scale.NUMBER, paired=False)
        plain = stats.bootstrap(
            (values, others), lambda a, b, axis: a.mean(axis) - b.mean(axis), method="percentile", n_resamples=20_000,
            rng=1,
        ).confidence_interval  # fmt: skip
        assert found.high == pytest.approx(plain.high, rel=0.02)

    @pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (2, 5), (5, 5), (10, 10)])
    def test_shares_are_held_as_often_as_it_says_whatever_they_are(self, seeds: tuple[int, int]) -> None:
        """Over every outcome of two binomial draws, each by its probability: 95 % on average over the shares.

        Where these are the same, a claim that one is greater is supported in 2.5 % of studies at most.
        """
        counts = [np.arange(number + 1) for number in seeds]
        found = [
            [compare(yes(i, seeds[0]), yes(j, seeds[1]), YES_NO, paired=False) for j in counts[1]] for i in counts[0]
        ]
        low, high = (np.array([[getattr(one, end) for one in row] for row in found]) for end in ("low", "high"))
        coverage = []
        for p, q in itertools.product(np.linspace(0, 1, 21), repeat=2):
            weights = np.outer(
                *(stats.binom.pmf(i, n, share) for i, n, share in zip(counts, seeds, (p, q), strict=True))
            )
            coverage.append(weights[(low - 1e-9 <= p - q) & (p - q <= high + 1e-9)].sum())
            assert p != q or weights[low > 0].sum() <= 0.025
        assert min(coverage) > 0.8
        assert np.mean(coverage) > 0.95

    @pytest.mark.parametrize("seeds", [2, 3, 5, 8, 12])
    def test_so_are_shares_of_pairs(self, seeds: int) -> None:
        """Over every number of pairs that differ one way or the other, three outcomes by their probabilities.

        Where all pairs differ and chance alone decides how, seven of eight one way are supported: 9 / 256.
        """
        counts = [(more, less) for more in range(seeds + 1) for less in range(seeds + 1 - more)]
        found = [
            compare([1] * more + [0] * (seeds - more), [0] * more + yes(less, seeds - more), YES_NO, paired=True)
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

    def test_counts_are_known_to_their_unit_only(self) -> None:
        """Three seeds of 10 and of 1 mode each: a spread of nothing is that of rounding, 1/12 for each side."""
        found = compare([10, 10, 10], [1, 1, 1], Scale.WHOLE, paired=True)
        half = stats.t.ppf(0.975, 2) * math.sqrt(2 / 12 / 3)
        assert (found.low, found.high) == pytest.approx((9 - half, 9 + half))
        ratio = compare([10, 10, 10], [1, 1, 1], Scale.WHOLE, paired=True, ratio=True)
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
        self, draw: object, mean: float, least: float, seeds: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In 95 % of studies where differences are normal; somewhat less where they are skewed, but not 75 %."""
        monkeypatch.setattr(verdicts, "RESAMPLES", 100)
        rng, studies = np.random.default_rng(0), 600
        held = alone = 0
        for _ in range(studies):
            values = draw(rng, seeds)  # type: ignore[operator]
            found = compare(values, np.zeros(seeds), Scale.NUMBER, paired=True)
            held += found.low <= mean <= found.high
            alone += values.min() <= mean <= values.max()
        assert held / studies >= least
        assert seeds > 3 or alone / studies < 0.85  # what the percentile bootstrap could hold at most

    @pytest.mark.parametrize("paired", [True, False])
    def test_without_a_difference_few_claims_are_decided(self, paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verdicts, "RESAMPLES", 100)
        rng = np.random.default_rng(1)
        words = [word(rng.normal(size=3), rng.normal(size=3), paired=paired) for _ in range(600)]  # type: ignore[arg-type]
        assert words.count(Word.SUPPORTED) < 24
        assert words.count(Word.REFUTED) < 24

    def test_it_is_the_same_every_time(self) -> None:
        assert compare(A, B, Scale.NUMBER, paired=True) == compare(A, B, Scale.NUMBER, paired=True)


class TestWords:
    def test_lower_is_better(self) -> None:
        assert word(A, B) is Word.SUPPORTED
        assert word(B, A) is Word.REFUTED
        assert word(A, [2.0, 4.0, 3.0, 3.6]) is Word.UNDECIDED

    def test_higher_is_better(self) -> None:
        assert word(B, A, better="higher") is Word.SUPPORTED
        assert word(A, B, better="higher") is Word.REFUTED

    def test_a_difference_that_is_too_small_is_refuted(self) -> None:
        assert word(A, B, by=0.2) is Word.SUPPORTED
        assert word(A, B, by=0.75) is Word.UNDECIDED
        assert word(A, B, by=2.0) is Word.REFUTED
        found = judge(A, B, Scale.NUMBER, "lower", paired=True, by=2.0)
        assert found.bound == -2.0
        assert found.why == "no part of the interval is below the bound, as was claimed"

    def test_a_factor(self) -> None:
        tenth = [value / 10 for value in B]
        assert word(tenth, A, factor=4.0) is Word.SUPPORTED
        assert word(tenth, A, factor=20.0) is Word.REFUTED
        assert word(A, tenth, better="higher", factor=4.0) is Word.SUPPORTED
        assert judge(tenth, A, Scale.NUMBER, "lower", paired=True, factor=4.0).bound == 0.25

    def test_a_ratio_of_nothing_is_none(self) -> None:
        found = judge([1, 2], [0, 2], Scale.NUMBER, "higher", paired=True, factor=2.0)
        assert (found.word, found.effect, found.why) == (Word.UNDECIDED, None, "a ratio needs values above 0")

    @pytest.mark.parametrize("seeds", [(0, 3), (1, 3), (3, 1), (1, 1), (0, 0)])
    @pytest.mark.parametrize("scale", Scale)
    def test_fewer_than_two_seeds_decide_nothing(self, seeds: tuple[int, int], scale: Scale) -> None:
        found = judge([1.0] * seeds[0], [0.0] * seeds[1], scale, "higher", paired=False)
        assert (found.word, found.effect) == (Word.UNDECIDED, None)
        assert found.why == ("nothing was measured" if 0 in seeds else "one seed says nothing of another")

    def test_numbers_without_any_spread_decide_nothing(self) -> None:
        found = judge([1.5, 1.5, 1.5], [1.0, 1.0, 1.0], Scale.NUMBER, "higher", paired=True)
        assert found.word is Word.UNDECIDED
        assert found.why == "the seeds do not differ, which leaves their spread unknown"

    def test_all_seeds_against_none(self) -> None:
        """Three against three is decided, as it is by Barnard's test (2 / 64); two against two is not."""
        for a, b, expected in (
            ([0, 0, 0], [1, 1, 1], Word.SUPPORTED),
            ([0, 0], [1, 1], Word.UNDECIDED),
            ([0, 0, 1], [1, 1, 1], Word.UNDECIDED),
            ([1, 1, 1], [1, 1, 1], Word.UNDECIDED),
        ):
            assert word(a, b, YES_NO, paired=False) is expected  # type: ignore[arg-type]

    def test_pairs_that_all_differ_one_way(self) -> None:
        """Six are decided, as by the sign test (1 / 64); five are not (1 / 32)."""
        assert word([0.0] * 6, [1.0] * 6, YES_NO) is Word.SUPPORTED
        assert word([0.0] * 5, [1.0] * 5, YES_NO) is Word.UNDECIDED

    @settings(max_examples=30)
    @given(
        st.lists(st.floats(0.1, 100), min_size=2, max_size=6),
        st.lists(st.floats(0.1, 100), min_size=2, max_size=6),
        st.floats(0, 10),
    )
    def test_no_claim_and_its_opposite_are_both_supported(self, a: list[float], b: list[float], by: float) -> None:
        words = {word(a, b, better=better, by=by, paired=False) for better in ("lower", "higher")}
        assert words != {Word.SUPPORTED}
