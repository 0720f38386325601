"""From the values of two groups, one a seed, to a verdict with its interval. Pure functions.

The independent unit is the seed: what is computed with one trained network, be it of 10,000 samples, says nothing of
what training again would give. Few seeds are the usual case, for which a percentile bootstrap is far too narrow: of
three, its 95 % interval is that from the least to the greatest, which holds the true mean in three of four studies.
Student's t is exact there for normal differences (Hesterberg, arXiv 1411.5279; Colas et al., arXiv 1806.08295). So the
interval reaches as far as the wider of the two on each side: with few seeds that is t's, with many skewed ones the
bootstrap's.

Two values are a pair where they come from the same trained networks, such as two rows of one evaluation. Networks that
were trained apart have nothing in common but the number that their generators were seeded with, which makes no pair of
them: Welch's test is for those (Colas et al., arXiv 1904.06979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

from orchestrator.spec.claims import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 10_000
_AT_ONCE = 1_000_000
_WIDEST = 100 * math.log(10)
LEAST_SEEDS = 2
LARGEST = 1e60
"""What is not smaller counts as no number: squares of variances would leave the range of numbers."""
ROUNDING = 1 / 12
"""Variance of what rounding to whole numbers takes away: a count is not known better than that."""

Better = Literal["lower", "higher"]


class Word(StrEnum):
    """What is said of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval, and how that was found."""

    estimate: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Judgement:
    """``effect`` is the difference group - than, or their ratio, ``bound`` what it is claimed to be beyond."""

    word: Word
    effect: Interval | None
    bound: float
    why: str


def judge(
    group: Sequence[float],
    than: Sequence[float],
    scale: Scale,
    better: Better,
    *,
    paired: bool,
    by: float = 0.0,
    factor: float | None = None,
) -> Judgement:
    """Whether ``group`` is better than ``than`` by more than ``by``, or more than ``factor`` times as good.

    Both hold finite values, one a seed. ``paired`` values stand at the same place on both sides and come from the same
    trained networks; all others are independent, whatever seeds their networks share. Supported: the whole interval is
    beyond the bound; refuted: all of it is short of the bound; undecided otherwise, and wherever a side has fewer than
    two seeds.
    """
    sign = 1.0 if better == "higher" else -1.0
    bound = sign * by + 0.0 if factor is None else factor**sign  # 0, not -0
    counts = sorted((len(group), len(than)))
    if counts[0] < LEAST_SEEDS:
        why = "nothing was measured" if counts[0] == 0 else "one seed says nothing of another"
        return Judgement(Word.UNDECIDED, None, bound, why)
    if factor is not None and min(*group, *than) <= 0:
        return Judgement(Word.UNDECIDED, None, bound, "a ratio needs values above 0")
    effect = compare(group, than, scale, paired=paired, ratio=factor is not None)
    if effect.low == effect.high:
        return Judgement(Word.UNDECIDED, effect, bound, "the seeds do not differ, which leaves their spread unknown")
    claimed, beyond = ("above", effect.low > bound) if sign > 0 else ("below", effect.high < bound)
    short = effect.high < bound if sign > 0 else effect.low > bound
    if beyond:
        return Judgement(Word.SUPPORTED, effect, bound, f"the whole interval is {claimed} the bound, as claimed")
    if short:
        return Judgement(Word.REFUTED, effect, bound, f"no part of the interval is {claimed} the bound, as was claimed")
    return Judgement(Word.UNDECIDED, effect, bound, "the interval holds the bound")


def compare(
    group: Sequence[float], than: Sequence[float], scale: Scale, *, paired: bool, ratio: bool = False
) -> Interval:
    """The 95 % interval of the difference of the means group - than, or of the ratio of geometric means.

    Two seeds or more on each side, as many on both where they are paired; of a ratio all values are above 0.
    """
    assert not paired or len(group) == len(than), "a pair has two values"
    if scale is Scale.YES_NO:
        shares = (np.array(side, dtype=np.float64) for side in (group, than))
        return _matched_shares(*shares) if paired else _shares(*shares)
    a, b = (_side(side, scale, ratio=ratio) for side in (group, than))
    interval = _paired(a, b) if paired else _independent(a, b)
    if not ratio:
        return interval
    return Interval(_exp(interval.estimate), _exp(interval.low), _exp(interval.high), interval.method)


def _exp(logarithm: float) -> float:
    """The number of a logarithm, from 1e-100 to 1e100: of few seeds an end may lie beyond all numbers."""
    return math.exp(min(max(logarithm, -_WIDEST), _WIDEST))


@dataclass(frozen=True)
class _Side:
    """Values, or their logarithms, one a seed, and the variance below which theirs cannot be known."""

    values: NDArray[np.float64]
    rounding: float

    @property
    def variance(self) -> float:
        return max(float(self.values.var(ddof=1)), self.rounding)


def _side(side: Sequence[float], scale: Scale, *, ratio: bool) -> _Side:
    values = np.array(side, dtype=np.float64)
    rounding = ROUNDING if scale is Scale.WHOLE else 0.0
    if ratio:  # a small change of x is one of dx / x in its logarithm
        return _Side(np.log(values), rounding * float((values**-2).mean()))
    return _Side(values, rounding)


def _paired(a: _Side, b: _Side) -> Interval:
    differences = a.values - b.values
    count, mean = len(differences), float(differences.mean())
    variance = max(float(differences.var(ddof=1)), a.rounding + b.rounding)
    half = _t(count - 1) * math.sqrt(variance / count)
    low, high = _percentiles(_resampled(differences, np.random.default_rng(0)))
    method = f"paired within the trained models of {count} seeds: the wider of Student's t and the percentile bootstrap"
    return Interval(mean, min(mean - half, low), max(mean + half, high), method)


def _independent(a: _Side, b: _Side) -> Interval:
    """Welch's interval, whose degrees of freedom are Satterthwaite's, and the bootstrap of each side by itself."""
    parts = [(side.variance / len(side.values), len(side.values) - 1) for side in (a, b)]
    total = sum(variance for variance, _ in parts)
    freedom = total**2 / sum(variance**2 / free for variance, free in parts) if total else 1.0
    mean = float(a.values.mean() - b.values.mean())
    half = _t(freedom) * math.sqrt(total)
    source = np.random.default_rng(0)
    low, high = _percentiles(_resampled(a.values, source) - _resampled(b.values, source))
    method = (
        f"{len(a.values)} and {len(b.values)} seeds, independent: the wider of Welch's t and the percentile bootstrap"
    )
    return Interval(mean, min(mean - half, low), max(mean + half, high), method)


def _shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> Interval:
    """The interval of Agresti and Caffo (The American Statistician 54, 2000): a yes and a no are added to each side.

    So it is no point where all seeds agree, and holds what it says from two seeds on. A seed's own share, of several
    trials, counts as one observation: its variance is no greater than that of yes and no.
    """
    from scipy.special import ndtri

    shares = [(float(values.sum()) + 1) / (len(values) + 2) for values in (a, b)]
    variance = sum(p * (1 - p) / (len(values) + 2) for p, values in zip(shares, (a, b), strict=True))
    middle, half = shares[0] - shares[1], float(ndtri((1 + LEVEL) / 2)) * math.sqrt(variance)
    estimate = float(a.mean() - b.mean())
    method = f"shares of {len(a)} and {len(b)} seeds, independent: Agresti and Caffo's interval"
    return Interval(estimate, max(-1.0, middle - half), min(1.0, middle + half), method)


def _matched_shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> Interval:
    """The interval of Bonett and Price (Journal of Educational and Behavioral Statistics 37, 2012), with Student's t.

    A pair is added that differs one way, and one that differs the other way. Under the normal distribution's quantile,
    which theirs has, three pairs of yes and no would be enough, which chance makes in one of eight studies.
    """
    differences = a - b
    count = len(differences)
    middle = float(differences.sum()) / (count + 2)
    variance = ((float((differences**2).sum()) + 2) / (count + 2) - middle**2) / (count + 2)
    half = _t(count - 1) * math.sqrt(variance)
    method = f"shares paired within the trained models of {count} seeds: Bonett and Price's interval with Student's t"
    return Interval(float(differences.mean()), max(-1.0, middle - half), min(1.0, middle + half), method)


def _t(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _resampled(values: NDArray[np.float64], source: np.random.Generator) -> NDArray[np.float64]:
    """Means of as many values drawn with replacement, (RESAMPLES,); drawn in parts, since seeds may be thousands."""
    count = len(values)
    rows = max(1, _AT_ONCE // count)
    parts = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    return np.concatenate([values[source.integers(count, size=(part, count))].mean(axis=1) for part in parts])


def _percentiles(means: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
