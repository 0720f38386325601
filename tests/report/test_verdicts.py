"""Verdicts: their words, bounds and reasons, and how often chance decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestrator.report.verdicts import Undecided, Word, judge, together
from orchestrator.spec.claims import Scale
from orchestrator.statistics import intervals
from orchestrator.statistics.power import BEYOND

YES_NO = Scale.YES_NO
A, B = [3.1, 2.9, 3.4, 3.3], [4.0, 3.6, 4.4, 3.7]


def word(a: list[float], b: list[float], scale: Scale = Scale.NUMBER, better: str = "lower", **how: Any) -> Word:
    return judge(a, b, scale, better, **{"paired": True, **how}).word  # type: ignore[arg-type]


@pytest.mark.parametrize("paired", [True, False])
def test_without_a_difference_few_claims_are_decided(paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 100)
    rng = np.random.default_rng(1)
    words = [word(rng.normal(size=3), rng.normal(size=3), paired=paired) for _ in range(600)]  # type: ignore[arg-type]
    assert words.count(Word.SUPPORTED) < 24
    assert words.count(Word.REFUTED) < 24


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


class TestClaimsOfOtherForms:
    """Against a constant, within a bound, and about each of several values."""

    def test_a_constant(self) -> None:
        assert judge(A, 5.0, Scale.NUMBER, "lower").word is Word.SUPPORTED
        assert judge(A, 5.0, Scale.NUMBER, "higher").word is Word.REFUTED
        assert judge(A, 3.2, Scale.NUMBER, "higher").word is Word.UNDECIDED
        assert judge([1.0] * 8, 0.5, YES_NO, "higher").word is Word.SUPPORTED
        assert judge([1.0] * 3, 0.5, YES_NO, "higher").word is Word.UNDECIDED

    @pytest.mark.parametrize(
        ("within", "expected"), [(1.5, Word.SUPPORTED), (0.8, Word.UNDECIDED), (0.1, Word.REFUTED)]
    )
    def test_within_a_bound(self, within: float, expected: Word) -> None:
        """The interval of B - A is 0.33 to 1.17."""
        found = judge(A, B, Scale.NUMBER, None, paired=True, within=within)
        assert found.word is expected
        assert found.word is judge(B, A, Scale.NUMBER, None, paired=True, within=within).word
        assert found.p_value is not None
        assert (found.p_value < 0.05) == (expected is not Word.UNDECIDED)

    def test_within_is_two_one_sided_tests(self) -> None:
        """At 2.5 % each, of which the p-value is twice the greater."""
        found = judge(A, B, Scale.NUMBER, None, within=1.5)
        sides = [
            stats.ttest_ind(np.array(A) + shift, B, equal_var=False, alternative=side).pvalue
            for shift, side in ((1.5, "greater"), (-1.5, "less"))
        ]
        assert found.p_value == pytest.approx(2 * max(sides))

    def test_each_is_supported_where_all_are(self) -> None:
        yes, weaker = judge(A, B, Scale.NUMBER, "lower"), judge(A, [x - 0.1 for x in B], Scale.NUMBER, "lower")
        no, unknown = judge(B, A, Scale.NUMBER, "lower"), judge(A, [3.0, 4.0, 3.0, 4.0], Scale.NUMBER, "lower")
        both = together({"a": yes, "b": weaker})
        assert (both.word, both.why) == (Word.SUPPORTED, "supported for each of the 2")
        assert (both.p_value, both.effect) == (weaker.p_value, weaker.effect)  # an intersection-union test
        open_one = together({"a": yes, "b": unknown})
        assert (open_one.word, open_one.why) == (Word.UNDECIDED, "undecided for b")
        assert (open_one.undecided, open_one.seeds_needed) == (Undecided.TOO_FEW_SEEDS, unknown.seeds_needed)
        refuted = together({"a": yes, "b": unknown, "c": no})
        assert (refuted.word, refuted.why) == (Word.REFUTED, "refuted for c")
        assert no.p_value is not None
        assert refuted.p_value == pytest.approx(3 * no.p_value)  # by chance one in three is refuted more often

    def test_each_of_some_that_have_no_value(self) -> None:
        none = judge([], [], Scale.NUMBER, "lower")
        found = together({"a": judge(A, B, Scale.NUMBER, "lower"), "b": none})
        assert (found.word, found.undecided, found.p_value) == (Word.UNDECIDED, None, 1.0)
        assert together({"a": none, "b": none}).p_value is None


class TestUndecided:
    """No difference, or too few seeds to tell."""

    def test_few_seeds_are_too_few(self) -> None:
        found = judge(A, [3.0, 4.0, 3.0, 4.0], Scale.NUMBER, "lower")
        assert found.undecided is Undecided.TOO_FEW_SEEDS
        assert found.seeds_needed is not None
        assert found.why == f"too few seeds: about {found.seeds_needed} a side would show an effect like this"

    @pytest.mark.parametrize("factor", [None, 1.0])
    def test_many_seeds_that_agree_are_no_difference(self, factor: float | None) -> None:
        """The interval of 30 seeds a side is within 0.95 standard deviations of 0, P(A > B) of 25 to 75 %."""
        rng = np.random.default_rng(0)
        a, b = rng.normal(9, 1, 30), rng.normal(9, 1, 30)
        b += a.mean() - b.mean() + 0.1
        found = judge(list(a), list(b), Scale.NUMBER, "lower", factor=factor)
        assert (found.undecided, found.seeds_needed) == (Undecided.NO_DIFFERENCE, None)
        assert found.why.startswith("no difference that matters: the whole interval is within ")
        if factor is None:
            margin = np.sqrt(2) * stats.norm.ppf(0.75) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
            assert found.why.endswith(f"within -{margin:.4g} to {margin:.4g}")

    def test_a_bound_of_its_own_leaves_no_difference_to_the_claim(self) -> None:
        """What holds the bound may be as large as claimed."""
        rng = np.random.default_rng(0)
        a, b = list(rng.normal(9, 1, 30)), list(rng.normal(9, 1, 30))
        assert judge(a, b, Scale.NUMBER, "lower", by=0.3).undecided is Undecided.TOO_FEW_SEEDS
        assert judge(a, b, Scale.NUMBER, None, within=0.5).undecided is Undecided.TOO_FEW_SEEDS

    def test_shares_differ_by_less_than_a_fifth(self) -> None:
        half = [0.0, 1.0] * 60
        assert judge(half, half, YES_NO, "lower").undecided is Undecided.NO_DIFFERENCE
        assert judge(half[:20], half[:20], YES_NO, "lower").undecided is Undecided.TOO_FEW_SEEDS

    @pytest.mark.parametrize("within", [None, 3.0])
    def test_so_many_seeds_decide_it_in_four_of_five_studies(
        self, within: float | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Drawn with the effect and the spread that were found."""
        monkeypatch.setattr(intervals, "RESAMPLES", 60)
        better = "lower" if within is None else None
        a, b = np.array([1.0, 2.0, 3.0]), np.array([2.5, 3.5, 4.5])
        found = judge(list(a), list(b), Scale.NUMBER, better, within=within)
        assert found.seeds_needed is not None
        rng = np.random.default_rng(3)
        draws = rng.normal([[[2.0]], [[3.5]]], 1.0, (2, 400, found.seeds_needed))
        words = [judge(list(x), list(y), Scale.NUMBER, better, within=within).word for x, y in zip(*draws, strict=True)]
        assert words.count(Word.SUPPORTED) / len(words) == pytest.approx(0.8, abs=0.06)

    def test_an_effect_that_is_the_bound_itself_is_never_shown(self) -> None:
        found = judge(A, B, Scale.NUMBER, "lower", by=0.75)
        assert (found.seeds_needed, found.why) == (
            BEYOND, "too few seeds: more than 1,000 a side would show an effect like this",
        )  # fmt: skip
        assert judge(A, B, Scale.NUMBER, "lower", by=0.75, paired=True).why == (
            "too few seeds: more than 1,000 would show an effect like this"
        )

    def test_no_seed_and_one_seed(self) -> None:
        assert judge([], [], Scale.NUMBER, "lower").undecided is None
        assert judge([1.0], [2.0, 3.0], Scale.NUMBER, "lower").undecided is Undecided.TOO_FEW_SEEDS


def test_sizes_are_in_the_direction_of_the_better_values() -> None:
    lower, higher = judge(A, B, Scale.NUMBER, "lower"), judge(A, B, Scale.NUMBER, "higher")
    assert lower.size is not None
    assert higher.size is not None
    assert lower.size == -higher.size > 0
    assert (lower.probability, higher.probability) == (1.0, 0.0)
    assert judge([1.0, 0.0, 1.0], 0.5, YES_NO, "higher").probability is None  # the share says it


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_claim_is_decided_just_where_its_p_value_is_small(better: Any) -> None:
    for shift in np.linspace(-2, 2, 17):
        found = judge(A, [x + shift for x in B], Scale.NUMBER, better, by=0.1)
        assert found.p_value is not None
        assert (found.word is not Word.UNDECIDED) == (found.p_value < 0.05)
        assert found.corrected(0.04) is found.word
        assert found.corrected(0.06) is Word.UNDECIDED
