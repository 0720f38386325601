"""Precision, recall, density and coverage from nearest neighbours in feature space.

Precision and recall: Kynkaanniemi et al., arXiv 1904.06991, equation 1, with closed balls: a vector on the surface is
inside. Density and coverage: Naeem et al., arXiv 2002.09797, with the same balls.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from orchestrator.metrics.requirements import NEIGHBOURS

_BLOCK = 1024
_AT_ONCE = 2**22
"""Numbers in one batch of differences."""


class Prdc(NamedTuple):
    """``precision``, ``density``: realism of samples; ``recall``, ``coverage``: the share of the data that they span.

    From 0 to 1, except density, which may be larger.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> Prdc:
    """PRDC of features (n, f) and (m, f); a vector's ball reaches to its k-th nearest neighbour of the same kind.

    It holds 1024 rows of distances at a time.
    """
    assert min(len(real), len(fake)) > k, f"balls to the neighbour {k} take more vectors than that"
    both = torch.cat([real, fake]).double()
    numbers = torch.unique(both, dim=0, return_inverse=True)[1]
    real_vectors, fake_vectors = (
        _Vectors(*parts)
        for parts in zip(*(torch.split(t, [len(real), len(fake)]) for t in (both, numbers)), strict=True)
    )
    real_radii, fake_radii = _radii(real_vectors, k), _radii(fake_vectors, k)
    inside = density = 0
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    for block, radii in zip(fake_vectors.blocks(), torch.split(fake_radii, _BLOCK), strict=True):
        in_real, in_fake = _within(block, real_vectors, real_radii), _within(block, real_vectors, radii[:, None])
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
        """Parts of _BLOCK vectors."""
        return [_Vectors(*parts) for parts in zip(*(torch.split(t, _BLOCK) for t in self), strict=True)]


def _radii(vectors: _Vectors, k: int) -> Tensor:
    """Squared distance of each vector to its k-th nearest other one (n,)."""
    radii = []
    for block in vectors.blocks():
        squares, error = _squares(block, vectors)
        most = (squares + error).kthvalue(k + 1, dim=1, keepdim=True).values
        _correct(squares, block, vectors, squares - error <= most)
        # The nearest of all is the vector itself.
        radii.append(squares.kthvalue(k + 1, dim=1).values)
    return torch.cat(radii)


def _within(x: _Vectors, y: _Vectors, radii: Tensor) -> Tensor:
    """Whether the squared distances (n, m) of ``x`` and ``y`` are at most ``radii``, squared, (n, 1) or (m,)."""
    squares, error = _squares(x, y)
    _correct(squares, x, y, (squares - radii).abs() <= error)
    return squares <= radii


def _squares(x: _Vectors, y: _Vectors) -> tuple[Tensor, Tensor]:
    """Squared distances (n, m) by one matrix product, and a bound of the rounding error of each.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y is many times as fast as differences. Its rounding error is relative to the
    lengths, and thus large for the distance of close vectors. It is exactly 0 for equal vectors.
    """
    equal = x.numbers[:, None] == y.numbers
    lengths = x.values.square().sum(1)[:, None] + y.values.square().sum(1)
    squares = (lengths - 2 * x.values @ y.values.T).masked_fill(equal, 0)
    unit = torch.finfo(lengths.dtype).eps
    return squares, ((x.values.shape[1] + 4) * unit * lengths).masked_fill(equal, 0)


def _correct(squares: Tensor, x: _Vectors, y: _Vectors, where: Tensor) -> None:
    """Replace the squared distances ``where`` (n, m) by those computed from differences."""
    rows, columns = (where & (x.numbers[:, None] != y.numbers)).nonzero(as_tuple=True)
    size = max(1, _AT_ONCE // x.values.shape[1])
    for row, column in zip(torch.split(rows, size), torch.split(columns, size), strict=True):
        squares[row, column] = (x.values[row] - y.values[column]).square().sum(1)
