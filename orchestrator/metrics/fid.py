"""Frechet distance between two samples of features: Heusel et al., arXiv 1706.08500, equation 6."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """Mean (f,) and unbiased covariance (f, f) of feature vectors, float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """The moments of features (n, f), n at least 2."""
    assert len(features) >= 2, "a covariance takes two feature vectors"
    return Moments(features.double().mean(0), torch.cov(features.double().T).view(features.shape[1], -1))


def frechet_distance(real: Moments, fake: Moments) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2) - 2 tr sqrt(S1 S2), at least 0; biased upwards by small samples.

    The last trace is that of the root of S1^1/2 S2 S1^1/2, which has the eigenvalues of S1 S2 and is symmetric.
    Rounding can therefore not make them complex, only slightly negative; negative ones are clamped to 0.
    """
    root = _symmetric_root(real.covariance)
    eigenvalues = torch.linalg.eigvalsh(root @ fake.covariance @ root)
    traces = real.covariance.trace() + fake.covariance.trace() - 2 * eigenvalues.clamp(min=0).sqrt().sum()
    return max(0.0, float((real.mean - fake.mean).square().sum() + traces))


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
