"""What stands beside an interval: effect sizes, robust means, and p-values corrected for their number.

Pure functions, on scipy's where it has them; Holm's correction is not among them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.statistics.intervals import Design

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.statistics.intervals import Comparison

ENOUGH = 10
"""Values from which on their interquartile mean is told."""


def hedges_g(comparison: Comparison) -> float | None:
    """The difference in standard deviations between seeds, without the bias of few (Hedges 1981); of ratios on logs.

    Of two groups their standard deviation is the pooled one, of pairs that of their differences, of a constant that of
    the group. None of yes and no, whose difference is an effect size itself, of two values, and where none differ.
    """
    a, b = comparison.counts
    freedom = a + b - 2 if comparison.design is Design.INDEPENDENT else a - 1
    if not comparison.pooled or freedom < 2:
        return None
    estimate = comparison.interval.estimate
    if comparison.logarithms:
        estimate = math.log(estimate)
    return _unbiasing(freedom) * estimate / comparison.pooled


def _unbiasing(freedom: int) -> float:
    """Hedges' factor J: gamma(f / 2) / (sqrt(f / 2) gamma((f - 1) / 2)), of two degrees of freedom or more."""
    return math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)


def probability_above(group: Sequence[float], than: Sequence[float] | float, *, paired: bool) -> float:
    """P(a > b) + P(a = b) / 2 of a seed of each side, which is Mann and Whitney's U over its greatest value.

    Of pairs, and against a constant, it is the share of the seeds that are above, with half of the ties (Bouthillier et
    al., arXiv 2103.03098).
    """
    from scipy.stats import rankdata

    if paired or not hasattr(than, "__len__"):
        signs = np.sign(np.asarray(group, dtype=np.float64) - np.asarray(than, dtype=np.float64))
        return float((signs.mean() + 1) / 2)
    count = len(group)
    ranks = rankdata(np.concatenate([group, than]))[:count]
    return float(ranks.sum() - count * (count + 1) / 2) / (count * len(than))


def interquartile_mean(values: Sequence[float]) -> float | None:
    """The mean without the lowest and the highest quarter (Agarwal et al., arXiv 2108.13264); None of few values."""
    from scipy.stats import trim_mean

    return float(trim_mean(values, 0.25)) if len(values) >= ENOUGH else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number, by Holm's step-down (Scandinavian Journal of Statistics 6, 1979).

    Those below a level hold together with at most that probability of a single error. None stays None.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    greatest = 0.0
    for rank, (p, place) in enumerate(known):
        greatest = max(greatest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = greatest
    return adjusted
