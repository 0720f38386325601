"""From the values of two groups, one a seed, to a verdict with its interval. Pure functions.

The independent unit is the seed: what is computed with one trained network, be it of 10,000 samples, says nothing of
what training again would give. Few seeds are the usual case, for which a percentile bootstrap is far too narrow: of
three, its 95 % interval is that from the least to the greatest, which holds the true mean in three of four studies.
Student's t is exact there for normal differences (Hesterberg, arXiv 1411.5279; Colas et al., arXiv 1806.08295). So the
interval reaches as far as the wider of the two on each side: with few seeds that is t's, with many skewed ones the
bootstrap's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

from orchestrator.spec.claims import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 10_000
LEAST_SEEDS = 2
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
    group: Mapping[int, float],
    than: Mapping[int, float],
    scale: Scale,
    better: Better,
    *,
    by: float = 0.0,
    factor: float | None = None,
) -> Judgement:
    """Whether ``group`` is better than ``than`` by more than ``by``, or more than ``factor`` times as good.

    Both hold finite values by seed. Supported: the whole interval is beyond the bound; refuted: all of it is short of
    the bound; undecided otherwise, and wherever a side has fewer than two seeds. Seeds that both sides have are paired.
    """
    sign = 1.0 if better == "higher" else -1.0
    bound = sign * by + 0.0 if factor is None else factor**sign  # 0, not -0
    counts = sorted((len(group), len(than)))
    if counts[0] < LEAST_SEEDS:
        why = "nothing was measured" if counts[0] == 0 else "one seed says nothing of another"
        return Judgement(Word.UNDECIDED, None, bound, why)
    if factor is not None and min(*group.values(), *than.values()) <= 0:
        return Judgement(Word.UNDECIDED, None, bound, "a ratio needs values above 0")
    effect = compare(group, than, scale, ratio=factor is not None)
    if effect.low == effect.high:
        return Judgement(Word.UNDECIDED, effect, bound, "the seeds do not differ, which leaves their spread unknown")
    claimed, beyond = ("above", effect.low > bound) if sign > 0 else ("below", effect.high < bound)
    short = effect.high < bound if sign > 0 else effect.low > bound
    if beyond:
        return Judgement(Word.SUPPORTED, effect, bound, f"the whole interval is {claimed} the bound, as claimed")
    if short:
        return Judgement(Word.REFUTED, effect, bound, f"no part of the interval is {claimed} the bound, as was claimed")
    return Judgement(Word.UNDECIDED, effect, bound, "the interval holds the bound")


def compare(group: Mapping[int, float], than: Mapping[int, float], scale: Scale, *, ratio: bool = False) -> Interval:
    """The 95 % interval of the difference of the means group - than, or of the ratio of geometric means.

    Two seeds or more on each side; of a ratio all values are above 0.
    """
    if scale is Scale.YES_NO:
        return _shares(_values(group), _values(than))
    a, b = _spread(group, scale, ratio=ratio), _spread(than, scale, ratio=ratio)
    common = sorted(set(group) & set(than))
    if len(common) >= LEAST_SEEDS:
        found = _paired(a.of(common), b.of(common), a.rounding + b.rounding)
    else:
        found = _independent(a, b)
    if not ratio:
        return found
    return Interval(math.exp(found.estimate), math.exp(found.low), math.exp(found.high), found.method)


@dataclass(frozen=True)
class _Spread:
    """Values by seed, or their logarithms, and the variance below which theirs cannot be known."""

    by_seed: dict[int, float]
    rounding: float

    def of(self, seeds: list[int]) -> NDArray[np.float64]:
        return np.array([self.by_seed[seed] for seed in seeds], dtype=np.float64)

    @property
    def values(self) -> NDArray[np.float64]:
        return self.of(sorted(self.by_seed))

    @property
    def variance(self) -> float:
        return max(float(self.values.var(ddof=1)), self.rounding)


def _values(side: Mapping[int, float]) -> NDArray[np.float64]:
    return np.array([side[seed] for seed in sorted(side)], dtype=np.float64)


def _spread(side: Mapping[int, float], scale: Scale, *, ratio: bool) -> _Spread:
    values = _values(side)
    rounding = ROUNDING if scale is Scale.WHOLE else 0.0
    if ratio:  # a small change of x is one of dx / x in its logarithm
        return _Spread({seed: math.log(value) for seed, value in side.items()}, rounding * float((values**-2).mean()))
    return _Spread({seed: float(value) for seed, value in side.items()}, rounding)


def _paired(a: NDArray[np.float64], b: NDArray[np.float64], rounding: float) -> Interval:
    differences = a - b
    count, mean = len(differences), float(differences.mean())
    half = _t(count - 1) * math.sqrt(max(float(differences.var(ddof=1)), rounding) / count)
    low, high = _percentiles(_resampled(differences, np.random.default_rng(0)))
    method = f"paired over {count} seeds: the wider of Student's t and the percentile bootstrap"
    return Interval(mean, min(mean - half, low), max(mean + half, high), method)


def _independent(a: _Spread, b: _Spread) -> Interval:
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
    method = f"shares of {len(a)} and {len(b)} seeds: Agresti and Caffo's interval"
    return Interval(estimate, max(-1.0, middle - half), min(1.0, middle + half), method)


def _t(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _resampled(values: NDArray[np.float64], source: np.random.Generator) -> NDArray[np.float64]:
    """Means of as many values drawn with replacement, (RESAMPLES,)."""
    means: NDArray[np.float64] = values[source.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    return means


def _percentiles(means: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
