"""Power: against scipy's noncentral t distribution, published figures, and studies drawn at random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.spec.claims import Scale
from orchestrator.statistics import intervals
from orchestrator.statistics.intervals import Design, compare
from orchestrator.statistics.power import (
    BEYOND,
    POWER,
    Seeds,
    outcomes,
    power,
    power_between,
    seeds_needed,
    smallest_difference_of_shares,
    smallest_distance,
    smallest_within,
    smallest_within_of_shares,
)

INDEPENDENT, PAIRED, CONSTANT = Design.INDEPENDENT, Design.PAIRED, Design.CONSTANT


@pytest.mark.parametrize(
    ("design", "figures"),
    [(INDEPENDENT, {3: 3.07, 5: 2.02, 10: 1.32, 20: 0.909}), (PAIRED, {3: 3.26, 5: 1.68, 10: 0.996, 20: 0.660})],
)
def test_the_smallest_difference_has_a_power_of_80_percent_by_the_noncentral_t(
    design: Design, figures: dict[int, float]
) -> None:
    for count, figure in figures.items():
        found = smallest_distance(Seeds.equal(design, count))
        freedom, error = (2 * count - 2, math.sqrt(2 / count)) if design is INDEPENDENT else (count - 1, count**-0.5)
        assert stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, found / error) == pytest.approx(POWER, abs=1e-4)
        assert found == pytest.approx(figure, rel=5e-3)


def test_groups_of_different_numbers_have_the_freedom_of_welch_s_test() -> None:
    seeds = Seeds(INDEPENDENT, 3, 8)
    x, y = np.array([-1.0, 0.0, 1.0]), np.sqrt(7 / 8) * np.array([-1.0, 1.0] * 4)
    assert x.var(ddof=1) == pytest.approx(y.var(ddof=1))
    assert seeds.freedom == pytest.approx(stats.ttest_ind(x, y, equal_var=False).df)


@pytest.mark.parametrize(("design", "effect"), [(INDEPENDENT, 2.0), (PAIRED, 1.5), (CONSTANT, 1.5)])
def test_so_many_studies_drawn_at_random_are_decided(
    design: Design, effect: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five normal values; the bootstrap is inside Student's interval then."""
    monkeypatch.setattr(intervals, "RESAMPLES", 60)
    rng, studies = np.random.default_rng(0), 500
    decided = 0
    for _ in range(studies):
        group = rng.normal(effect, 1, 5)
        than = 0.0 if design is CONSTANT else np.zeros(5) if design is PAIRED else rng.normal(size=5)
        decided += compare(list(group), than, Scale.NUMBER, paired=design is PAIRED).interval.low > 0  # type: ignore[arg-type]
    assert decided / studies == pytest.approx(power(effect, Seeds.equal(design, 5)), abs=0.06)


@pytest.mark.parametrize("design", list(Design))
def test_the_fewest_seeds_have_the_power_and_one_less_has_not(design: Design) -> None:
    found = seeds_needed(design, lambda seeds: power(0.8, seeds))
    assert power(0.8, Seeds.equal(design, found)) >= POWER > power(0.8, Seeds.equal(design, found - 1))
    assert seeds_needed(design, lambda seeds: power(0.01, seeds)) == BEYOND


def test_cohen_s_table() -> None:
    """26 a side for a large effect of 0.8, 64 for one of 0.5 (Cohen, Psychological Bulletin 112, 1992, rounded up)."""
    assert seeds_needed(INDEPENDENT, lambda seeds: power(0.8, seeds)) == 26
    assert seeds_needed(INDEPENDENT, lambda seeds: power(0.5, seeds)) == 64


def test_equality_is_shown_within_the_smallest_bound_by_so_many_studies() -> None:
    seeds = Seeds.equal(INDEPENDENT, 8)
    bound = smallest_within(seeds)
    assert power_between(0.0, -bound, bound, seeds) == pytest.approx(POWER, abs=1e-4)
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 20_000, 8))
    half = stats.t.ppf(0.975, 14) * np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / 8)
    inside = np.abs(a.mean(axis=1) - b.mean(axis=1)) + half < bound
    assert inside.mean() == pytest.approx(POWER, abs=0.02)
    assert power_between(0.3, -math.inf, 1.0, seeds) == power(0.7, seeds)


@pytest.mark.parametrize(
    ("design", "shares"), [(INDEPENDENT, (0.9, 0.2)), (PAIRED, (0.7, 0.1)), (CONSTANT, (0.9, 0.4))]
)
def test_outcomes_of_shares_are_those_of_the_intervals(design: Design, shares: tuple[float, float]) -> None:
    """Probabilities sum to 1, and so many studies drawn at random are decided."""
    found = outcomes(Seeds.equal(design, 6), shares)
    assert found.probability.sum() == pytest.approx(1.0)
    rng, studies = np.random.default_rng(2), 1500
    a, b = shares
    counts = {"above": 0, "below": 0, "between": 0}
    for _ in range(studies):
        if design is PAIRED:
            differences = rng.choice([1, -1, 0], 6, p=[a, b, 1 - a - b])
            one = compare(
                list(np.maximum(differences, 0)), list(np.maximum(-differences, 0)), Scale.YES_NO, paired=True
            )
        else:
            than = b if design is CONSTANT else list((rng.random(6) < b) * 1.0)
            one = compare(list((rng.random(6) < a) * 1.0), than, Scale.YES_NO)
        low, high = one.interval.low, one.interval.high
        counts["above"] += low > 0.1
        counts["below"] += high < 0.6
        counts["between"] += low > -0.9 and high < 0.9
    assert found.above(0.1) == pytest.approx(counts["above"] / studies, abs=0.04)
    assert found.below(0.6) == pytest.approx(counts["below"] / studies, abs=0.04)
    assert found.between(-0.9, 0.9) == pytest.approx(counts["between"] / studies, abs=0.04)


def test_smallest_differences_of_shares() -> None:
    """Of three seeds a side, only all against none are told apart: ((1 + d) / 2)^6 = 0.8."""
    assert smallest_difference_of_shares(Seeds.equal(INDEPENDENT, 3), 0.0) == pytest.approx(
        2 * 0.8 ** (1 / 6) - 1, abs=1e-5
    )
    assert smallest_difference_of_shares(Seeds.equal(INDEPENDENT, 2), 0.0) is None
    assert smallest_difference_of_shares(Seeds.equal(CONSTANT, 3), 0.0, 0.1) == pytest.approx(
        0.8 ** (1 / 3) - 0.1, abs=1e-5
    )
    assert smallest_within_of_shares(Seeds.equal(INDEPENDENT, 3)) is not None
    for seeds, bound in ((Seeds.equal(PAIRED, 12), 0.0), (Seeds.equal(INDEPENDENT, 12), 0.2)):
        found = smallest_difference_of_shares(seeds, bound)
        assert found is not None
        shares = (found, 0.0) if seeds.design is PAIRED else (0.5 + found / 2, 0.5 - found / 2)
        assert outcomes(seeds, shares).above(bound) == pytest.approx(POWER, abs=1e-3)
