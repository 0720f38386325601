"""Precision and recall, Kynkäänniemi et al., arXiv 1904.06991; density and coverage, Naeem et al., arXiv 2002.09797."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from orchestrator.measures.frechet import checked

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1024
"""Rows compared at a time, so that memory grows with the number of images and not with its square."""


class Prdc(NamedTuple):
    """Four shares by balls that reach from each row to its k-th nearest neighbour of the same sample.

    ``precision``: generated rows in a ball of real ones. ``recall``: real rows in a ball of generated ones.
    ``density``: balls of real ones that a generated row lies in, over k; it may be above 1, and is 1 in expectation
    for samples of one distribution. ``coverage``: balls of real ones with a generated row in them; for n + n rows
    of one distribution about 1 - 2^-k.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> Prdc:
    """Of features (n, f) and (m, f), with Euclidean distances; a ball is without its surface, as in the authors' code.

    Raises DataError on k rows or fewer and on what is not finite.
    """
    assert k >= 1, k
    real, fake = checked(real, k + 1), checked(fake, k + 1)
    # distances do not change, and their rounding grows with how far the rows lie from 0
    centre = real.mean(0)
    real, fake = real - centre, fake - centre
    real_reach, fake_reach = _reach(real, k), _reach(fake, k)
    precise = inside = recalled = 0
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows in torch.split(fake, BLOCK):
        within = _squared_distances(rows, real) < real_reach
        precise += int(within.any(1).sum())
        inside += int(within.sum())
        covered |= within.any(0)
    for rows in torch.split(real, BLOCK):
        recalled += int((_squared_distances(rows, fake) < fake_reach).any(1).sum())
    n, m = len(real), len(fake)
    return Prdc(precise / m, recalled / n, inside / (k * m), int(covered.sum()) / n)


def _reach(rows: Tensor, k: int) -> Tensor:
    """Squared distance of each row to its k-th nearest among the others, (n,)."""
    found = []
    for start in range(0, len(rows), BLOCK):
        distances = _squared_distances(rows[start : start + BLOCK], rows)
        own = torch.arange(len(distances), device=rows.device)
        distances[own, start + own] = torch.inf
        found.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(found)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Between each row of ``a`` and each of ``b``, by one product: |a|^2 + |b|^2 - 2 a b."""
    squares = a.square().sum(1, keepdim=True) + b.square().sum(1)
    return squares.addmm_(a, b.T, alpha=-2).clamp_min_(0)
