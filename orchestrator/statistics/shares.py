"""Intervals of shares of yes and no, for numbers and for whole arrays of outcomes. Pure functions.

Each gives the interval as its middle with a scale, or as its two ends; ``LEVEL`` is that of all intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95

_X = TypeVar("_X", float, "NDArray[np.float64]")


def agresti_caffo(a: _X, b: _X, counts: tuple[int, int]) -> tuple[Any, Any]:
    """Middle and standard error of the difference of two independent shares, of ``a`` and ``b`` times yes.

    A yes and a no are added to each side (Agresti and Caffo, The American Statistician 54, 2000). So the interval is no
    point where all seeds agree, and holds what it says from two seeds on. A seed's own share, of several trials, counts
    as one observation: its variance is no greater than that of yes and no.
    """
    p, q = ((yes + 1) / (count + 2) for yes, count in zip((a, b), counts, strict=True))
    return p - q, np.sqrt(p * (1 - p) / (counts[0] + 2) + q * (1 - q) / (counts[1] + 2))


def bonett_price(total: _X, squares: _X, count: int) -> tuple[Any, Any]:
    """Middle and standard error of the mean of ``count`` differences of matched yes and no.

    ``total`` and ``squares`` are the sum of the differences and that of their squares. A pair is added that differs one
    way, and one that differs the other way (Bonett and Price, Journal of Educational and Behavioral Statistics 37,
    2012). They take the normal distribution's quantile; with that, three pairs of yes and no would be enough, which
    chance makes in one of eight studies. The intervals here take that of Student's t.
    """
    middle = total / (count + 2)
    return middle, np.sqrt(((squares + 2) / (count + 2) - middle**2) / (count + 2))


def clopper_pearson(yes: _X, count: int) -> tuple[Any, Any]:
    """Ends of the interval of one share (Clopper and Pearson, Biometrika 26, 1934), which holds it at least so often.

    The interval inverts the two binomial tests by the quantiles of beta distributions, which also take a number of yes
    that is not whole: a seed of several trials is a share itself.
    """
    from scipy.special import betaincinv

    yes = np.asarray(yes, dtype=np.float64)  # type: ignore[assignment]
    tail = (1 - LEVEL) / 2
    low = np.where(yes > 0, betaincinv(np.maximum(yes, 1e-300), count - yes + 1, tail), 0.0)
    high = np.where(yes < count, betaincinv(yes + 1, np.maximum(count - yes, 1e-300), 1 - tail), 1.0)
    return low, high
