"""Kernel distance between features, the KID of Bińkowski et al., arXiv 1801.01401, section 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from orchestrator.measures.frechet import checked

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1024
"""Rows compared at a time, so that memory grows with the number of images and not with its square."""


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Squared maximum mean discrepancy between features (n, f) and (m, f) under the kernel ``(x y / f + 1)^3``.

    The unbiased estimate over all pairs, not the mean over subsets: it may be a little below 0. Raises DataError on
    fewer than 2 rows and on what is not finite.
    """
    real, fake = checked(real, 2), checked(fake, 2)
    n, m = len(real), len(fake)
    within = (_sum(real, real) - _own(real)) / (n * (n - 1)) + (_sum(fake, fake) - _own(fake)) / (m * (m - 1))
    return within - 2 * _sum(real, fake) / (n * m)


def _sum(a: Tensor, b: Tensor) -> float:
    """Sum of the kernel over all pairs of a row of ``a`` and a row of ``b``."""
    return float(sum((rows @ b.T).div_(a.shape[1]).add_(1).pow_(3).sum() for rows in torch.split(a, BLOCK)))


def _own(rows: Tensor) -> float:
    """Sum of the kernel of each row with itself."""
    return float((rows.square().sum(1) / rows.shape[1] + 1).pow(3).sum())
