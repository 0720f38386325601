"""Kernel distance between two samples of features (KID): Binkowski et al., arXiv 1801.01401, section 4."""

from __future__ import annotations

import torch
from torch import Tensor


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy of features (n, f) and (m, f) under the kernel (x.y / f + 1)^3.

    The unbiased estimate, over all pairs: it may be negative. Needs two vectors of each kind.
    """
    assert min(len(real), len(fake)) >= 2, "an unbiased estimate takes two feature vectors of each kind"
    real, fake = real.double(), fake.double()
    return float(_within(real) + _within(fake) - 2 * _kernel(real, fake).mean())


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    kernel: Tensor = (one @ other.T / one.shape[1] + 1) ** 3
    return kernel


def _within(features: Tensor) -> Tensor:
    """Mean over the pairs of two different vectors."""
    kernel, n = _kernel(features, features), len(features)
    return (kernel.sum() - torch.diagonal(kernel).sum()) / (n * (n - 1))
