"""Kernel distance between two samples of features (KID): Binkowski et al., arXiv 1801.01401, section 4."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy of features (n, f) and (m, f) under the kernel (x.y / f + 1)^3.

    The unbiased estimate over all pairs, which may be negative; n and m at least 2. It holds 1024 rows of kernel values
    at a time.
    """
    assert min(len(real), len(fake)) >= 2, "an unbiased estimate takes two feature vectors of each kind"
    real, fake = real.double(), fake.double()
    between = _total(real, fake) / (len(real) * len(fake))
    return float(_within(real) + _within(fake) - 2 * between)


def _total(x: Tensor, y: Tensor) -> Tensor:
    """Sum of the kernel over all pairs of vectors."""
    return torch.stack([_kernel(part @ y.T, x.shape[1]).sum() for part in torch.split(x, _BLOCK)]).sum()


def _within(features: Tensor) -> Tensor:
    """Mean of the kernel over the pairs of two different vectors."""
    n = len(features)
    diagonal = _kernel(features.square().sum(1), features.shape[1]).sum()
    return (_total(features, features) - diagonal) / (n * (n - 1))


def _kernel(products: Tensor, length: int) -> Tensor:
    """(x.y / f + 1)^3 of inner products x.y of vectors of ``length`` f."""
    base = products / length + 1
    return base * base * base
