"""Kernel distance between two samples of features (KID): Binkowski et al., arXiv 1801.01401, section 4.

The kernel of two features vectors x and y of length f is (x.y / f + 1)^3. Sums over all pairs hold 1024 rows of kernel
values at a time, and are of several subsets at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy of features (n, f) and (m, f).

    The unbiased estimate over all pairs, which may be negative; n and m at least 2.
    """
    return float(within(real) + within(fake) - 2 * across(real, fake))


def within(features: Tensor, subsets: Tensor | None = None) -> Tensor:
    """Mean (s,) float64 of the kernel over the pairs of two different vectors of each subset, two at least.

    ``subsets`` (s, n) bool says which of the features (n, f) belong to it; without, one of all.
    """
    features = features.double()
    members = _members(features, subsets)
    counts = members.sum(1)
    assert int(counts.min()) >= 2, "an unbiased estimate takes two feature vectors of each kind"
    totals = _sums(features, features, members, members)
    itself = _kernel(features.square().sum(1), features.shape[1])
    return (totals - members @ itself) / (counts * (counts - 1))


def across(real: Tensor, fake: Tensor, subsets: Tensor | None = None) -> Tensor:
    """Mean (s,) float64 of the kernel over the pairs of a real vector and one of a subset of the fake ones."""
    real, fake = real.double(), fake.double()
    members = _members(fake, subsets)
    return _sums(real, fake, _members(real, None), members) / (len(real) * members.sum(1))


def _members(features: Tensor, subsets: Tensor | None) -> Tensor:
    """1 of the vectors of a subset, else 0 (s, n)."""
    return features.new_ones(1, len(features)) if subsets is None else subsets.to(features)


def _sums(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Sum over pairs of the kernel, weighted by ``of_x`` (s or 1, n) and ``of_y`` (s, m): (s,)."""
    blocks = zip(torch.split(x, _BLOCK), torch.split(of_x, _BLOCK, dim=1), strict=True)
    return torch.stack([((_kernel(part @ y.T, x.shape[1]) @ of_y.T).T * own).sum(1) for part, own in blocks]).sum(0)


def _kernel(products: Tensor, length: int) -> Tensor:
    """(x.y / f + 1)^3 of inner products x.y of vectors of ``length`` f."""
    base = products / length + 1
    return base * base * base
