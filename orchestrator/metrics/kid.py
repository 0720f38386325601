"""Kernel distance between two samples of features (KID): Binkowski et al., arXiv 1801.01401, section 4."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy of features (n, f) and (m, f) under the kernel (x.y / f + 1)^3.

    The unbiased estimate, over all pairs: it may be negative. Needs two vectors of each kind. Memory is that of 1024
    rows of kernel values at a time.
    """
    assert min(len(real), len(fake)) >= 2, "an unbiased estimate takes two feature vectors of each kind"
    real, fake = real.double(), fake.double()
    between = _total(real, fake) / (len(real) * len(fake))
    return float(_within(real) + _within(fake) - 2 * between)


def _total(one: Tensor, other: Tensor) -> Tensor:
    """Sum over all pairs of vectors."""
    return torch.stack([_cubed(part @ other.T, one.shape[1]).sum() for part in torch.split(one, _BLOCK)]).sum()


def _within(features: Tensor) -> Tensor:
    """Mean over the pairs of two different vectors."""
    n = len(features)
    own = _cubed(features.square().sum(1), features.shape[1]).sum()
    return (_total(features, features) - own) / (n * (n - 1))


def _cubed(products: Tensor, length: int) -> Tensor:
    kernel = products / length + 1
    return kernel * kernel * kernel
