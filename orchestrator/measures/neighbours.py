"""Precision, recall, density and coverage from nearest neighbours in feature space.

Precision and recall: Kynkaanniemi et al., arXiv 1904.06991. Density and coverage: Naeem et al., arXiv 2002.09797.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 1024


class Prdc(NamedTuple):
    """``precision``, ``density``: how real samples look; ``recall``, ``coverage``: how much of the data they span.

    From 0 to 1, but density, which may be larger.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> Prdc:
    """Of features (n, f) and (m, f); a vector's ball reaches to its k-th nearest neighbour of the same kind.

    Memory is that of 1024 rows of distances at a time.
    """
    assert min(len(real), len(fake)) > k, f"balls to the neighbour {k} take more vectors than that"
    real, fake = real.double(), fake.double()
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    inside, density, recalled, covered = 0, 0, 0, 0
    for start in range(0, len(fake), _BLOCK):
        within = torch.cdist(fake[start : start + _BLOCK], real) < real_radii
        inside += int(within.any(1).sum())
        density += int(within.sum())
    for start in range(0, len(real), _BLOCK):
        distances = torch.cdist(real[start : start + _BLOCK], fake)
        recalled += int((distances < fake_radii).any(1).sum())
        covered += int((distances.min(1).values < real_radii[start : start + _BLOCK]).sum())
    return Prdc(inside / len(fake), recalled / len(real), density / (k * len(fake)), covered / len(real))


def _radii(features: Tensor, k: int) -> Tensor:
    """Distance of each vector to its k-th nearest other one (n,)."""
    parts = [
        # the nearest of all is the vector itself
        torch.cdist(features[start : start + _BLOCK], features).kthvalue(k + 1, dim=1).values
        for start in range(0, len(features), _BLOCK)
    ]
    return torch.cat(parts)
