"""What a number of seeds can show, and how many it takes: the power of the tests behind the intervals. Pure functions.

Power is the probability that the whole 95 % interval lies beyond its bound. Of numbers it follows from the noncentral
t distribution (Cohen 1988; Colas et al., arXiv 1806.08295), for groups of equal spread; of yes and no from the
probabilities of all outcomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.statistics.intervals import Design
from orchestrator.statistics.shares import LEVEL, agresti_caffo, bonett_price, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

POWER = 0.8
MOST_SEEDS = 1000
"""More seeds a side are not counted."""
BEYOND = MOST_SEEDS + 1
"""Stands for more seeds than MOST_SEEDS."""
_FARTHEST = 40.0
"""A noncentrality at which nothing is left to gain."""


@dataclass(frozen=True)
class Seeds:
    """How many values each side has and what they are; of pairs and against a constant both numbers are the same."""

    design: Design
    group: int
    than: int

    @classmethod
    def equal(cls, design: Design, count: int) -> Seeds:
        """So many on each side."""
        return cls(design, count, count)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the t test; of groups of equal spread Satterthwaite's for Welch's test."""
        if self.design is not Design.INDEPENDENT:
            return self.group - 1
        variances = 1 / self.group, 1 / self.than
        return sum(variances) ** 2 / (variances[0] ** 2 / (self.group - 1) + variances[1] ** 2 / (self.than - 1))

    @property
    def error(self) -> float:
        """The standard error of the effect, in standard deviations between seeds."""
        return math.sqrt(1 / self.group + (1 / self.than if self.design is Design.INDEPENDENT else 0))


def power(distance: float, seeds: Seeds) -> float:
    """The probability that the interval lies beyond a bound, if the effect is ``distance`` standard deviations past."""
    from scipy.special import nctdtr, stdtrit

    critical = stdtrit(seeds.freedom, (1 + LEVEL) / 2)
    return 1.0 - float(nctdtr(seeds.freedom, min(max(distance / seeds.error, -_FARTHEST), _FARTHEST), critical))


def power_between(effect: float, low: float, high: float, seeds: Seeds) -> float:
    """The probability that the interval lies between two bounds, all in standard deviations; one may be infinite.

    Of two finite ones it is no less by Bonferroni's inequality, and where it is large it is this (Schuirmann 1987).
    """
    distances = [distance for distance in (effect - low, high - effect) if not math.isinf(distance)]
    return max(0.0, sum(power(distance, seeds) for distance in distances) - len(distances) + 1)


def smallest_distance(seeds: Seeds, target: float = POWER) -> float:
    """Standard deviations past the bound that the effect has to be, to be shown with this probability."""
    found = _smallest(lambda distance: power(distance, seeds), 0.0, _FARTHEST * seeds.error, target)
    assert found is not None, seeds
    return found


def smallest_within(seeds: Seeds) -> float:
    """The smallest bound, in standard deviations, within which an effect of 0 is shown with a probability of POWER."""
    return smallest_distance(seeds, (1 + POWER) / 2)


def seeds_needed(design: Design, shown: Callable[[Seeds], float]) -> int:
    """The fewest seeds a side with which ``shown``, a power, reaches POWER; BEYOND where MOST_SEEDS do not."""
    low, high = 1, BEYOND
    while high - low > 1:
        middle = (low + high) // 2
        if shown(Seeds.equal(design, middle)) >= POWER:
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True)
class Outcomes:
    """Everything that yes and no of so many seeds can come to: the intervals, and the probability of each."""

    probability: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def above(self, bound: float) -> float:
        """The probability that the interval lies above the bound."""
        return float(self.probability[self.low > bound].sum())

    def below(self, bound: float) -> float:
        """The probability that it lies below."""
        return float(self.probability[self.high < bound].sum())

    def between(self, low: float, high: float) -> float:
        """The probability that it lies between these bounds."""
        return float(self.probability[(self.low > low) & (self.high < high)].sum())


def outcomes(seeds: Seeds, shares: tuple[float, float]) -> Outcomes:
    """All outcomes under ``shares``; see Comparison for what these are."""
    from scipy.special import ndtri, stdtrit

    tail = (1 + LEVEL) / 2
    a, b = shares
    if seeds.design is Design.CONSTANT:
        yes = np.arange(seeds.group + 1.0)
        low, high = clopper_pearson(yes, seeds.group)
        return Outcomes(_multinomial(yes, 0.0, seeds.group, a, 0.0), low - b, high - b)
    if seeds.design is Design.INDEPENDENT:
        yes, other = np.arange(seeds.group + 1.0), np.arange(seeds.than + 1.0)
        probability = np.outer(
            _multinomial(yes, 0.0, seeds.group, a, 0.0), _multinomial(other, 0.0, seeds.than, b, 0.0)
        )
        middle, scale = agresti_caffo(yes[:, None], other, (seeds.group, seeds.than))
        half = ndtri(tail) * scale
        return Outcomes(probability, middle - half, middle + half)
    differing, less = (index.astype(np.float64) for index in np.tril_indices(seeds.group + 1))
    more = differing - less
    middle, scale = bonett_price(more - less, differing, seeds.group)
    half = stdtrit(seeds.group - 1, tail) * scale
    return Outcomes(_multinomial(more, less, seeds.group, a, b), middle - half, middle + half)


def _multinomial(
    more: NDArray[np.float64], less: NDArray[np.float64] | float, count: int, a: float, b: float
) -> NDArray[np.float64]:
    """The probability that of ``count`` so many come out one way, so many the other, by the shares of both."""
    from scipy.special import gammaln, xlogy

    rest = count - more - less
    ways = gammaln(count + 1) - gammaln(more + 1) - gammaln(less + 1) - gammaln(rest + 1)
    chance = np.exp(ways + xlogy(more, a) + xlogy(less, b) + xlogy(rest, max(0.0, 1 - a - b)))
    return np.asarray(chance, dtype=np.float64)


def smallest_difference_of_shares(seeds: Seeds, bound: float, constant: float | None = None) -> float | None:
    """The smallest difference of shares that is shown to be above ``bound`` with a probability of POWER; None for none.

    Of two groups the shares are taken to lie evenly about one half, where they spread the most; of pairs all that
    differ do so one way. Against a constant it is the difference of a greater share.
    """

    def shares(difference: float) -> tuple[float, float]:
        if constant is not None:
            return constant + difference, constant
        if seeds.design is Design.PAIRED:
            return difference, 0.0
        return 0.5 + difference / 2, 0.5 - difference / 2

    most = 1.0 if constant is None else 1 - constant
    return _smallest(lambda difference: outcomes(seeds, shares(difference)).above(bound), min(bound, most), most)


def smallest_within_of_shares(seeds: Seeds, constant: float | None = None) -> float | None:
    """The smallest bound within which equal shares of one half, or ones that are the constant, are shown to lie."""
    even = (0.5, 0.5) if seeds.design is Design.INDEPENDENT else (0.25, 0.25)
    possible = outcomes(seeds, even if constant is None else (constant, constant))
    return _smallest(lambda bound: possible.between(-bound, bound), 0.0, 1.0)


def _smallest(shown: Callable[[float], float], low: float, high: float, target: float = POWER) -> float | None:
    """Where a growing function reaches the target, to a millionth of the range; None where it does not."""
    if shown(high) < target:
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) >= target else (middle, high)
    return high
