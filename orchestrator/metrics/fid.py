"""Frechet distance between two samples of features, FID: Heusel et al., arXiv 1706.08500, equation 6."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

PARTS = 8
"""Parts of a sample for ``fid_infinity``: its sizes are the whole sample, a half, a quarter and an eighth."""
_LEAST_SIZES, _LEAST_PER_FEATURE = 3, 2
"""Sizes that a line takes, and vectors per feature of a size: the bias is not yet linear in 1/n below."""


@dataclass(frozen=True)
class Moments:
    """Mean (f,) and unbiased covariance (f, f) of feature vectors, float64."""

    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance (f, f), computed once for all samples compared with these."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return root


class RunningMoments:
    """Moments of feature vectors (n, f) that come in batches; it holds ``parts`` sums and none of the vectors.

    Vector i counts for part i modulo ``parts``. Sums are in float64 and about the mean of the first batch, so that
    little is lost where the mean is far from 0.
    """

    def __init__(self, parts: int = 1) -> None:
        self.parts, self.count = parts, 0

    def add(self, features: Tensor) -> None:
        """Add vectors (b, f)."""
        features = features.double()
        if not self.count:
            length = features.shape[1]
            self._centre = features.mean(0)
            self._counts = [0] * self.parts
            self._sums = features.new_zeros(self.parts, length)
            self._products = features.new_zeros(self.parts, length, length)
        shifted = features - self._centre
        for part in range(self.parts):
            own = shifted[(part - self.count) % self.parts :: self.parts]
            self._counts[part] += len(own)
            self._sums[part] += own.sum(0)
            self._products[part] += own.T @ own
        self.count += len(features)

    def moments(self, first: int = 0, step: int = 1) -> Moments:
        """The moments of the vectors ``first``, ``first + step`` ...: two at least; ``step`` divides ``parts``."""
        assert self.parts % step == 0, (self.parts, step)
        chosen = slice(first, None, step)
        count = sum(self._counts[chosen])
        assert count >= 2, "a covariance takes two feature vectors"
        shift = self._sums[chosen].sum(0) / count
        products = self._products[chosen].sum(0) - count * torch.outer(shift, shift)
        return Moments(self._centre + shift, products / (count - 1))


def moments(features: Tensor) -> Moments:
    """The moments of features (n, f), n at least 2."""
    running = RunningMoments()
    running.add(features)
    return running.moments()


def frechet_distance(real: Moments, fake: Moments) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2) - 2 tr sqrt(S1 S2), at least 0; biased upwards by small samples.

    The last trace is that of the root of S1^1/2 S2 S1^1/2, which has the eigenvalues of S1 S2 and is symmetric.
    Rounding can therefore not make them complex, only slightly negative; negative ones are clamped to 0.
    """
    eigenvalues = torch.linalg.eigvalsh(real.root @ fake.covariance @ real.root)
    traces = real.covariance.trace() + fake.covariance.trace() - 2 * eigenvalues.clamp(min=0).sqrt().sum()
    return max(0.0, float((real.mean - fake.mean).square().sum() + traces))


def fid_infinity(real: Moments, fake: RunningMoments) -> float | None:
    """The distance that samples without end would have: Chong and Forsyth, arXiv 1911.07023, section 3.

    FID's bias falls as 1/n, so that a line through the distances of samples of several sizes n, by least squares in
    1/n, gives the unbiased one at 1/n = 0. Sizes are the whole sample, its halves, quarters and eighths, each the mean
    over these disjoint parts; the paper draws subsets instead, and may take Sobol sequences for latent vectors, which
    truncated normals have not here. The real moments are as they are. It may be slightly negative. None if fewer than
    three of the sizes have twice as many vectors as there are features.
    """
    enough = _LEAST_PER_FEATURE * len(real.mean)
    steps = [step for step in (1, 2, 4, 8) if fake.parts % step == 0 and fake.count // step >= enough]
    if len(steps) < _LEAST_SIZES:
        return None
    distances = [
        np.mean([frechet_distance(real, fake.moments(first, step)) for first in range(step)]) for step in steps
    ]
    return float(np.polynomial.Polynomial.fit([step / fake.count for step in steps], distances, 1).convert().coef[0])
