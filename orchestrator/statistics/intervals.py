"""The 95 % interval of a difference or a ratio over seeds, and the p-values that go with it. Pure functions.

The independent unit is the seed: what is computed with one trained network, be it of 10,000 samples, says nothing of
what training again would give. Few seeds are the usual case, for which a percentile bootstrap is far too narrow: of
three, its 95 % interval is that from the least to the greatest, which holds the true mean in three of four studies.
Student's t is exact there for normal differences (Hesterberg, arXiv 1411.5279; Colas et al., arXiv 1806.08295). So the
interval reaches as far as the wider of the two on each side: with few seeds that is t's, with many skewed ones the
bootstrap's.

Two values are a pair where they come from the same trained networks, such as two rows of one evaluation. Networks that
were trained apart have nothing in common but the number that their generators were seeded with, which makes no pair of
them: Welch's test is for those (Colas et al., arXiv 1904.06979).

A p-value belongs to its interval: it inverts the same tests, so that it is below 0.05 for just those values that the
interval excludes. Where an interval is the wider of two, the p-value is the larger of two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from orchestrator.spec.claims import Scale
from orchestrator.statistics.shares import LEVEL, agresti_caffo, bonett_price, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESAMPLES = 10_000
_AT_ONCE = 1_000_000
_WIDEST = 100 * math.log(10)
ROUNDING = 1 / 12
"""Variance of what rounding to whole numbers takes away: a count is not known better than that."""


class Design(Enum):
    """What the values of a group are compared with."""

    INDEPENDENT = "values of other trained models"
    PAIRED = "values of the same trained models"
    CONSTANT = "a constant"


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval, and how that was found."""

    estimate: float
    low: float
    high: float
    method: str


class _Part(Protocol):
    """A test that an interval inverts: one-sided p-values for every value of the effect."""

    def ends(self) -> tuple[float, float]:
        """Values whose one-sided p-values are 0.025."""

    def above(self, value: float) -> float:
        """The p-value for an effect that is greater than ``value``."""

    def below(self, value: float) -> float:
        """The p-value for an effect that is less than ``value``."""


@dataclass(frozen=True)
class Comparison:
    """The interval of an effect with the tests behind it, on logarithms where it is of a ratio.

    ``spread`` is the standard deviation between seeds: of pairs that of their differences, of two groups the root of
    the mean of their variances; ``pooled`` is the same with the variances weighted by their degrees of freedom. Of yes
    and no both are None, and ``shares`` has what their power depends on: the shares of both sides, of pairs those that
    differ one way and the other, or the group's share and the constant.
    """

    interval: Interval
    design: Design
    counts: tuple[int, int]
    logarithms: bool = False
    parts: tuple[_Part, ...] = ()
    spread: float | None = None
    pooled: float | None = None
    shares: tuple[float, float] | None = None

    def p_above(self, bound: float) -> float:
        """The one-sided p-value for an effect above the bound; below 0.025 where the interval lies above it."""
        if math.isinf(bound):
            return float(bound > 0)
        return max(part.above(self._of(bound)) for part in self.parts)

    def p_below(self, bound: float) -> float:
        """The one-sided p-value for an effect below the bound; below 0.025 where the interval lies below it."""
        if math.isinf(bound):
            return float(bound < 0)
        return max(part.below(self._of(bound)) for part in self.parts)

    def _of(self, bound: float) -> float:
        return math.log(bound) if self.logarithms else bound


def compare(
    group: Sequence[float], than: Sequence[float] | float, scale: Scale, *, paired: bool = False, ratio: bool = False
) -> Comparison:
    """The difference of the means group - than, or the ratio of geometric means; ``than`` may be a constant.

    Two seeds or more on each side, as many on both where they are paired; of a ratio all values are above 0.
    """
    a = np.array(group, dtype=np.float64)
    constant = not hasattr(than, "__len__")
    b = np.full(len(a), than) if constant else np.array(than, dtype=np.float64)
    assert not paired or len(a) == len(b), "a pair has two values"
    design = Design.CONSTANT if constant else Design.PAIRED if paired else Design.INDEPENDENT
    if scale is Scale.YES_NO:
        return {Design.INDEPENDENT: _shares, Design.PAIRED: _matched_shares, Design.CONSTANT: _share}[design](a, b)
    rounding = ROUNDING if scale is Scale.WHOLE else 0.0
    roundings = [rounding, 0.0 if constant else rounding]
    if ratio:  # a small change of x is one of dx / x in its logarithm
        roundings = [one * float((x**-2).mean()) for one, x in zip(roundings, (a, b), strict=True)]
        a, b = np.log(a), np.log(b)
    if design is Design.INDEPENDENT:
        return _independent(a, b, roundings, ratio=ratio)
    return _of_differences(a - b, sum(roundings), design, ratio=ratio)


@dataclass(frozen=True)
class _Student:
    """Student's t, or with infinite freedom the normal distribution."""

    middle: float
    scale: float
    freedom: float = math.inf

    def ends(self) -> tuple[float, float]:
        from scipy.special import ndtri, stdtrit

        tail = (1 + LEVEL) / 2
        quantile = float(ndtri(tail) if math.isinf(self.freedom) else stdtrit(self.freedom, tail))
        return self.middle - quantile * self.scale, self.middle + quantile * self.scale

    def above(self, value: float) -> float:
        return self._cdf(value - self.middle)

    def below(self, value: float) -> float:
        return self._cdf(self.middle - value)

    def _cdf(self, distance: float) -> float:
        from scipy.special import ndtr, stdtr

        if not self.scale:
            return float(distance >= 0)
        value = distance / self.scale
        return float(ndtr(value) if math.isinf(self.freedom) else stdtr(self.freedom, value))


@dataclass(frozen=True)
class _Resampled:
    """Means of resampled values in ascending order, (RESAMPLES,); quantiles between two of them are interpolated."""

    means: NDArray[np.float64]

    def ends(self) -> tuple[float, float]:
        low, high = np.percentile(self.means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        return float(low), float(high)

    def above(self, value: float) -> float:
        return _greatest_level(self.means, value)

    def below(self, value: float) -> float:
        return _greatest_level(-self.means[::-1], -value)


def _greatest_level(means: NDArray[np.float64], value: float) -> float:
    """The greatest q whose interpolated quantile is not above the value."""
    place = int(np.searchsorted(means, value, side="right")) - 1
    if place < 0:
        return 0.0
    if place == len(means) - 1:
        return 1.0
    step = means[place + 1] - means[place]
    return float((place + (value - means[place]) / step) / (len(means) - 1))


@dataclass(frozen=True)
class _Binomial:
    """The two binomial tests of ``yes`` among ``count`` seeds, of the share minus a constant."""

    yes: float
    count: int
    constant: float

    def ends(self) -> tuple[float, float]:
        low, high = clopper_pearson(self.yes, self.count)
        return float(low) - self.constant, float(high) - self.constant

    def above(self, value: float) -> float:
        return self._at_least(self.yes, value + self.constant)

    def below(self, value: float) -> float:
        return self._at_least(self.count - self.yes, 1 - (value + self.constant))

    def _at_least(self, yes: float, share: float) -> float:
        """The probability of so many yes or more under this share; 0 under one below 0, which no share can be."""
        from scipy.special import betainc

        if share < 0:
            return 0.0
        return float(betainc(yes, self.count - yes + 1, min(share, 1.0))) if yes > 0 else 1.0


def _joined(estimate: float, parts: tuple[_Part, ...], method: str, *, ratio: bool = False) -> Interval:
    """The interval that reaches as far as the widest of its parts on each side."""
    ends = [part.ends() for part in parts]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if ratio:
        return Interval(bounded_exp(estimate), bounded_exp(low), bounded_exp(high), method)
    return Interval(estimate, low, high, method)


def bounded_exp(logarithm: float) -> float:
    """The number of a logarithm, from 1e-100 to 1e100: of few seeds an end may lie beyond all numbers."""
    return math.exp(min(max(logarithm, -_WIDEST), _WIDEST))


def _of_differences(differences: NDArray[np.float64], rounding: float, design: Design, *, ratio: bool) -> Comparison:
    """Differences within pairs, or from a constant: Student's t and the bootstrap of their mean."""
    count, mean = len(differences), float(differences.mean())
    spread = math.sqrt(max(float(differences.var(ddof=1)), rounding))
    resampled = np.sort(_resampled(differences, np.random.default_rng(0)))
    parts = (_Student(mean, spread / math.sqrt(count), count - 1), _Resampled(resampled))
    of = (
        f"{count} seeds against a constant"
        if design is Design.CONSTANT
        else f"paired within the trained models of {count} seeds"
    )
    method = f"{of}: the wider of Student's t and the percentile bootstrap"
    return Comparison(_joined(mean, parts, method, ratio=ratio), design, (count, count), ratio, parts, spread, spread)


def _independent(
    a: NDArray[np.float64], b: NDArray[np.float64], roundings: Sequence[float], *, ratio: bool
) -> Comparison:
    """Welch's interval, whose degrees of freedom are Satterthwaite's, and the bootstrap of each side by itself."""
    variances = [max(float(x.var(ddof=1)), least) for x, least in zip((a, b), roundings, strict=True)]
    of_means = [variance / len(x) for variance, x in zip(variances, (a, b), strict=True)]
    total = sum(of_means)
    free = sum(variance**2 / (len(x) - 1) for variance, x in zip(of_means, (a, b), strict=True))
    mean = float(a.mean() - b.mean())
    source = np.random.default_rng(0)
    resampled = np.sort(_resampled(a, source) - _resampled(b, source))
    parts = (_Student(mean, math.sqrt(total), total**2 / free if free else 1.0), _Resampled(resampled))
    method = f"{len(a)} and {len(b)} seeds, independent: the wider of Welch's t and the percentile bootstrap"
    interval = _joined(mean, parts, method, ratio=ratio)
    spread = math.sqrt(sum(variances) / 2)
    pooled = math.sqrt(float(np.average(variances, weights=[len(a) - 1, len(b) - 1])))
    return Comparison(interval, Design.INDEPENDENT, (len(a), len(b)), ratio, parts, spread, pooled)


def _shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> Comparison:
    counts = len(a), len(b)
    middle, scale = agresti_caffo(float(a.sum()), float(b.sum()), counts)
    method = f"shares of {counts[0]} and {counts[1]} seeds, independent: Agresti and Caffo's interval"
    return _of_shares(
        float(a.mean() - b.mean()), _Student(float(middle), float(scale)), method, Design.INDEPENDENT, counts,
        (float(a.mean()), float(b.mean())),
    )  # fmt: skip


def _matched_shares(a: NDArray[np.float64], b: NDArray[np.float64]) -> Comparison:
    differences = a - b
    count = len(differences)
    middle, scale = bonett_price(float(differences.sum()), float((differences**2).sum()), count)
    method = f"shares paired within the trained models of {count} seeds: Bonett and Price's interval with Student's t"
    discordant = float(np.maximum(differences, 0).mean()), float(np.maximum(-differences, 0).mean())
    part = _Student(float(middle), float(scale), count - 1)
    return _of_shares(float(differences.mean()), part, method, Design.PAIRED, (count, count), discordant)


def _share(a: NDArray[np.float64], b: NDArray[np.float64]) -> Comparison:
    count, share, constant = len(a), float(a.mean()), float(b[0])
    method = f"share of {count} seeds against a constant: Clopper and Pearson's interval"
    part = _Binomial(float(a.sum()), count, constant)
    return _of_shares(share - constant, part, method, Design.CONSTANT, (count, count), (share, constant))


def _of_shares(
    estimate: float, part: _Part, method: str, design: Design, counts: tuple[int, int], shares: tuple[float, float]
) -> Comparison:
    low, high = part.ends()
    interval = Interval(estimate, max(-1.0, low), min(1.0, high), method)
    return Comparison(interval, design, counts, parts=(part,), shares=shares)


def _resampled(values: NDArray[np.float64], source: np.random.Generator) -> NDArray[np.float64]:
    """Means of as many values drawn with replacement, (RESAMPLES,); drawn in parts, since seeds may be thousands."""
    count = len(values)
    rows = max(1, _AT_ONCE // count)
    parts = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    return np.concatenate([values[source.integers(count, size=(part, count))].mean(axis=1) for part in parts])
