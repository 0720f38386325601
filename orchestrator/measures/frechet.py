"""Fréchet distance between features, the FID of Heusel et al., arXiv 1706.08500, equation 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean (f,) and unbiased covariance (f, f) of ``count`` rows of features, in double precision."""

    mean: Tensor
    covariance: Tensor
    count: int


def checked(features: Tensor, least: int) -> Tensor:
    """The features (n, f) in double precision.

    Raises DataError where there are fewer than ``least`` rows, or a number is not finite.
    """
    assert features.ndim == 2, f"features of shape {tuple(features.shape)}, expected (n, f)"
    if len(features) < least:
        raise DataError(f"measures: got features of {len(features)} images, expected {least} or more")
    if not bool(features.isfinite().all()):
        bad = int((~features.isfinite()).any(1).sum())
        raise DataError(f"measures: features of {bad} of {len(features)} images are not finite")
    return features.double()


def moments(features: Tensor) -> Moments:
    """Mean and covariance of features (n, f). Raises DataError on fewer than 2 rows and on what is not finite."""
    rows = checked(features, 2)
    mean = rows.mean(0)
    centred = rows - mean
    return Moments(mean, centred.T @ centred / (len(rows) - 1), len(rows))


def frechet_distance(real: Moments, fake: Moments) -> float:
    """``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2)``, at least 0.

    The trace of the root is the sum of the roots of the eigenvalues of S1^1/2 S2 S1^1/2, which is symmetric and has
    those of S1 S2: no complex numbers, and no failure on features that never vary.
    """
    values, vectors = torch.linalg.eigh(real.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    product = root @ fake.covariance @ root
    # rounding leaves eigenvalues a little below 0, and the product a little unsymmetric
    shared = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    offset = (real.mean - fake.mean).square().sum()
    distance = offset + real.covariance.trace() + fake.covariance.trace() - 2 * shared
    return max(float(distance), 0.0)
