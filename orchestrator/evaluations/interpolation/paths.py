"""Paths from one latent vector to another, and metrics of the images on them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES = tuple(eighth / 8 for eighth in range(9))
"""a = 0, 1/8 ... 1 in G(a z1 + (1 - a) z2): the path begins at z2."""


def linear(first: Tensor, second: Tensor, shares: Sequence[float] = SHARES) -> Tensor:
    """Latent vectors a z1 + (1 - a) z2 of z1 and z2 (n, d) for each share a, (n, points, d)."""
    a = first.new_tensor(shares)[:, None]
    return a * first[:, None] + (1 - a) * second[:, None]


def slerp(first: Tensor, second: Tensor, shares: Sequence[float] = SHARES) -> Tensor:
    """Spherical interpolation from z2 to z1, (n, points, d): along the great circle, with a linear length.

    Shoemake, Animating rotation with quaternion curves (1985); White, arXiv 1609.04468. Between parallel vectors it is
    ``linear``. Between opposite vectors, which any great circle connects, it passes through the axis that is most
    nearly orthogonal to both. A vector of length 0 has the other's direction.
    """
    lengths = _length(torch.stack([first, second]))
    tiny = torch.finfo(first.dtype).tiny
    towards, begin = (
        vector / length.clamp(min=tiny)[:, None] for vector, length in zip((first, second), lengths, strict=True)
    )
    begin = torch.where((lengths[1] > 0)[:, None], begin, towards)
    towards = torch.where((lengths[0] > 0)[:, None], towards, begin)
    cosine = (begin * towards).sum(1, keepdim=True)
    rejection = towards - cosine * begin
    aside, angle = _orthogonal(begin, rejection), torch.atan2(_length(rejection)[:, None], cosine)[:, None]
    a = first.new_tensor(shares)[:, None]
    length = a * lengths[0, :, None, None] + (1 - a) * lengths[1, :, None, None]
    return length * ((a * angle).cos() * begin[:, None] + (a * angle).sin() * aside[:, None])


PATHS = {"linear": linear, "spherical": slerp}
"""Paths by their names in the column ``way``."""


def path_length(features: Tensor) -> Tensor:
    """Sum of the Euclidean distances between successive points of each path (n, points, f), (n,)."""
    return _length(features.diff(dim=1)).sum(1)


def largest_step(features: Tensor) -> Tensor:
    """The largest distance between successive points of each path (n, points, f), (n,)."""
    return _length(features.diff(dim=1)).amax(1)


def detour(features: Tensor) -> Tensor:
    """``path_length`` over the distance of the ends, at least 1, (n,): 1 for a straight path; NaN if the ends agree."""
    straight = _length(features[:, -1] - features[:, 0])
    return path_length(features) / straight.where(straight > 0, torch.nan)


def classes_met(classes: Tensor) -> list[list[int]]:
    """The classes of each path (n, points) in order, without successive repetitions."""
    return [[label for label, _ in groupby(path)] for path in classes.tolist()]


def third_classes(classes: Tensor) -> list[list[int]]:
    """The classes on each path (n, points) that neither of its ends has, ascending."""
    return [sorted({*path} - {path[0], path[-1]}) for path in classes.tolist()]


def _orthogonal(unit: Tensor, rejection: Tensor) -> Tensor:
    """Unit vectors orthogonal to ``unit`` (n, d) along ``rejection``, or along an axis if that is almost 0."""
    axis = torch.zeros_like(unit).scatter(1, unit.abs().argmin(1, keepdim=True), 1.0)
    # Below this length the direction is rounding error; above it is still not exactly orthogonal.
    rounding = 10 * torch.finfo(unit.dtype).eps
    length = _length(rejection)[:, None]
    direction = torch.where(length > rounding, rejection / length, axis)
    aside = direction - (direction * unit).sum(1, keepdim=True) * unit
    return aside / _length(aside)[:, None].clamp(min=torch.finfo(unit.dtype).tiny)


def _length(vectors: Tensor) -> Tensor:
    """Euclidean norms over the last dimension."""
    return vectors.square().sum(-1).sqrt()
