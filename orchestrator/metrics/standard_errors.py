"""Confidence intervals of sample metrics over the drawing of samples, from half-samples of their features.

A metric is computed of halves of the sample, drawn without replacement, against the same real images: the delete-d
jackknife with d = n / 2 (Shao and Wu, A general theory for jackknife variance estimation, 1989). Of a metric that is
close to linear in the samples' distribution, a half deviates from the whole sample as the whole sample does from the
distribution. The bootstrap's resamples are no use here: they hold vectors twice, whose balls have the radius 0, and FID
of so much fewer different vectors is another number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from orchestrator.metrics.fid import Moments, frechet_distance, moments

if TYPE_CHECKING:
    from torch import Tensor

HALVES = 40
"""Halves that are drawn: the standard error is then itself known to about 11 %."""
_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at 97.5 %."""


def halves(count: int) -> Tensor:
    """Which of ``count`` vectors are in each half (HALVES, count) bool; the same for equal counts."""
    random = torch.Generator().manual_seed(0)
    order = torch.rand(HALVES, count, generator=random).argsort(1)
    return torch.zeros(HALVES, count, dtype=torch.bool).scatter_(1, order[:, : count // 2], value=True)


def frechet_distances(real: Moments, fake: Tensor, subsets: Tensor) -> Tensor:
    """The FID (s,) of each subset (s, m) bool of the features (m, f)."""
    return torch.tensor([frechet_distance(real, moments(fake[subset])) for subset in subsets.to(fake.device)])


def interval(
    value: float, of_halves: Tensor, kept: int, samples: int, *, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """95 % interval (low, high) of the value of ``samples`` vectors, within [least, most].

    ``of_halves`` are the values of halves of the first ``kept`` of them. The values' mean does not count: a half's bias
    is not the sample's. Standard errors fall with the root of the number of samples.
    """
    half = kept // 2
    error = float(of_halves.double().std()) * math.sqrt(half / (kept - half) * kept / samples)
    return max(least, value - _QUANTILE * error), min(most, value + _QUANTILE * error)
