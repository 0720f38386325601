"""Precision, recall, density and coverage from nearest neighbours in feature space.

Precision and recall: Kynkaanniemi et al., arXiv 1904.06991, equation 1, whose balls are closed: a vector on the
surface is inside. Density and coverage: Naeem et al., arXiv 2002.09797, with the same balls.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from orchestrator.metrics.requirements import NEIGHBOURS

_BLOCK = 1024
_AT_ONCE = 2**22
"""Numbers that are subtracted at once."""


class Prdc(NamedTuple):
    """``precision``, ``density``: how real samples look; ``recall``, ``coverage``: how much of the data they span.

    From 0 to 1, but density, which may be larger.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> Prdc:
    """Of features (n, f) and (m, f); a vector's ball reaches to its k-th nearest neighbour of the same kind.

    Memory is that of 1024 rows of distances at a time.
    """
    assert min(len(real), len(fake)) > k, f"balls to the neighbour {k} take more vectors than that"
    both = torch.cat([real, fake]).double()
    numbers = torch.unique(both, dim=0, return_inverse=True)[1]
    real_ones, fake_ones = (
        _Vectors(*parts)
        for parts in zip(*(torch.split(t, [len(real), len(fake)]) for t in (both, numbers)), strict=True)
    )
    real_radii, fake_radii = _radii(real_ones, k), _radii(fake_ones, k)
    inside = density = 0
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    for some, radii in zip(fake_ones.blocks(), torch.split(fake_radii, _BLOCK), strict=True):
        in_real, in_fake = _within(some, real_ones, real_radii), _within(some, real_ones, radii[:, None])
        inside += int(in_real.any(1).sum())
        density += int(in_real.sum())
        covered |= in_real.any(0)
        recalled |= in_fake.any(0)
    return Prdc(
        inside / len(fake),
        int(recalled.sum()) / len(real),
        density / (k * len(fake)),
        int(covered.sum()) / len(real),
    )


class _Vectors(NamedTuple):
    values: Tensor
    """(n, f) float64"""
    numbers: Tensor
    """(n,): the same for equal vectors."""

    def blocks(self) -> list[_Vectors]:
        """Some at a time."""
        return [_Vectors(*parts) for parts in zip(*(torch.split(t, _BLOCK) for t in self), strict=True)]


def _radii(vectors: _Vectors, k: int) -> Tensor:
    """Squared distance of each vector to its k-th nearest other one (n,)."""
    found = []
    for some in vectors.blocks():
        squares, error = _squares(some, vectors)
        most = (squares + error).kthvalue(k + 1, dim=1, keepdim=True).values
        _correct(squares, some, vectors, squares - error <= most)
        # the nearest of all is the vector itself
        found.append(squares.kthvalue(k + 1, dim=1).values)
    return torch.cat(found)


def _within(some: _Vectors, others: _Vectors, radii: Tensor) -> Tensor:
    """Whether each of some vectors (n) is as near to each of ``others`` (m) as ``radii`` (n, 1) or (m,), squared."""
    squares, error = _squares(some, others)
    _correct(squares, some, others, (squares - radii).abs() <= error)
    return squares <= radii


def _squares(some: _Vectors, others: _Vectors) -> tuple[Tensor, Tensor]:
    """Squared distances (n, m) by one product of matrices, and how far rounding may have moved each of them.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y is many times as fast as differences, but leaves of the distance of vectors that
    are next to each other what is rounded away of their lengths. Of equal ones it is exactly 0.
    """
    equal = some.numbers[:, None] == others.numbers
    lengths = some.values.square().sum(1)[:, None] + others.values.square().sum(1)
    squares = (lengths - 2 * some.values @ others.values.T).masked_fill(equal, 0)
    unit = torch.finfo(lengths.dtype).eps
    return squares, ((some.values.shape[1] + 4) * unit * lengths).masked_fill(equal, 0)


def _correct(squares: Tensor, some: _Vectors, others: _Vectors, where: Tensor) -> None:
    """Put in place of the squared distances there those of the differences."""
    rows, columns = (where & (some.numbers[:, None] != others.numbers)).nonzero(as_tuple=True)
    size = max(1, _AT_ONCE // some.values.shape[1])
    for row, column in zip(torch.split(rows, size), torch.split(columns, size), strict=True):
        squares[row, column] = (some.values[row] - others.values[column]).square().sum(1)
