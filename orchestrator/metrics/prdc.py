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
_SPARE = 8
"""So many times k neighbours are kept for subsets: k of them are in half of the vectors, all but surely."""


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
    return prdc_of_subsets(real, fake, torch.zeros(0, len(fake), dtype=torch.bool), k)[0]


def prdc_of_subsets(real: Tensor, fake: Tensor, subsets: Tensor, k: int = NEIGHBOURS) -> tuple[Prdc, Tensor, Tensor]:
    """``prdc``, and the precision (s,) and recall (s,) of each subset of ``fake``, from one pass over the distances.

    ``subsets`` (s, m) bool says which vectors belong to it, more than k. Their balls are those within the subset; they
    are exact but for rounding, as long as the k nearest of a subset are among the _SPARE times k nearest of all.
    """
    assert min(len(real), len(fake)) > k, f"balls to the neighbour {k} take more vectors than that"
    both = torch.cat([real, fake]).double()
    numbers = torch.unique(both, dim=0, return_inverse=True)[1]
    real_vectors, fake_vectors = (
        _Vectors(*parts)
        for parts in zip(*(torch.split(t, [len(real), len(fake)]) for t in (both, numbers)), strict=True)
    )
    subsets = subsets.to(real.device)
    real_radii, fake_radii = _radii(real_vectors, k), _radii(fake_vectors, k)
    subset_radii = _radii_of_subsets(fake_vectors, subsets, k)
    density, insides = 0, []
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    recalled_by_subsets = torch.zeros(len(subsets), len(real), dtype=torch.bool, device=real.device)
    for number, (block, radii) in enumerate(zip(fake_vectors.blocks(), torch.split(fake_radii, _BLOCK), strict=True)):
        in_real, in_fake = _within(block, real_vectors, real_radii), _within(block, real_vectors, radii[:, None])
        insides.append(in_real.any(1))
        density += int(in_real.sum())
        covered |= in_real.any(0)
        recalled |= in_fake.any(0)
        if len(subsets):
            own = subset_radii[:, number * _BLOCK : number * _BLOCK + len(block.values)]
            recalled_by_subsets |= _recalled(block, real_vectors, own)
    inside = torch.cat(insides)
    whole = Prdc(
        int(inside.sum()) / len(fake),
        int(recalled.sum()) / len(real),
        density / (k * len(fake)),
        int(covered.sum()) / len(real),
    )
    precision = (subsets & inside).sum(1) / subsets.sum(1)
    return whole, precision.double(), recalled_by_subsets.double().mean(1)


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


def _radii_of_subsets(vectors: _Vectors, subsets: Tensor, k: int) -> Tensor:
    """Squared distance of each vector to its k-th nearest other one of a subset (s, n); -1 of those outside it."""
    nearest = min(_SPARE * k, len(vectors.values) - 1)
    radii = []
    for number, block in enumerate(vectors.blocks() if len(subsets) else []):
        squares = _squares(block, vectors)[0]
        rows = torch.arange(len(squares), device=squares.device)
        squares[rows, rows + number * _BLOCK] = torch.inf
        distances, indices = squares.topk(nearest, dim=1, largest=False)
        own = [
            distances.gather(1, (subset[indices].cumsum(1) < k).sum(1, keepdim=True).clamp(max=nearest - 1))[:, 0]
            for subset in subsets
        ]
        radii.append(torch.stack(own))
    return torch.cat(radii, 1).masked_fill(~subsets, -1) if radii else subsets.double()


def _recalled(block: _Vectors, real: _Vectors, radii: Tensor) -> Tensor:
    """Whether a ball of the block's vectors holds each real vector (s, n); ``radii`` (s, b) squared, -1 for none."""
    squares = _squares(block, real)[0].clamp(min=0)
    ball, vector = (squares <= radii.max(0).values[:, None]).nonzero(as_tuple=True)
    distances = squares[ball, vector]
    recalled = torch.zeros(len(radii), len(real.values), dtype=torch.bool, device=squares.device)
    for own, found in zip(radii, recalled, strict=True):
        found[vector[distances <= own[ball]]] = True
    return recalled


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
