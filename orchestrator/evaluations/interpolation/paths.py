"""Ways from one latent vector to another, and what is met on them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES = tuple(eighth / 8 for eighth in range(9))
"""a = 0, 1/8 ... 1 in G(a z1 + (1 - a) z2): the way begins at z2."""


def linear(first: Tensor, second: Tensor, shares: Sequence[float] = SHARES) -> Tensor:
    """Latent vectors a z1 + (1 - a) z2 of z1 and z2 (n, d) for each share a, (n, points, d)."""
    a = first.new_tensor(shares)[:, None]
    return a * first[:, None] + (1 - a) * second[:, None]


def slerp(first: Tensor, second: Tensor, shares: Sequence[float] = SHARES) -> Tensor:
    """Along the great circle between the directions of z2 and z1, (n, points, d), the length growing linearly.

    Shoemake, Animating rotation with quaternion curves (1985); White, arXiv 1609.04468. Between parallel vectors it
    is ``linear``; between opposite ones, where any great circle will do, it leads through the axis that is most nearly
    at right angles to both. A vector of length 0 has the other's direction.
    """
    lengths = _length(torch.stack([first, second]))
    tiny = torch.finfo(first.dtype).tiny
    towards, begin = (
        vector / length.clamp(min=tiny)[:, None] for vector, length in zip((first, second), lengths, strict=True)
    )
    begin = torch.where((lengths[1] > 0)[:, None], begin, towards)
    towards = torch.where((lengths[0] > 0)[:, None], towards, begin)
    cosine = (begin * towards).sum(1, keepdim=True)
    part = towards - cosine * begin
    aside, angle = _at_right_angles(begin, part), torch.atan2(_length(part)[:, None], cosine)[:, None]
    a = first.new_tensor(shares)[:, None]
    length = a * lengths[0, :, None, None] + (1 - a) * lengths[1, :, None, None]
    return length * ((a * angle).cos() * begin[:, None] + (a * angle).sin() * aside[:, None])


def path_length(features: Tensor) -> Tensor:
    """Sum of the Euclidean distances between successive points of each path (n, points, f), (n,)."""
    return _length(features.diff(dim=1)).sum(1)


def largest_step(features: Tensor) -> Tensor:
    """The largest of those distances, (n,)."""
    return _length(features.diff(dim=1)).amax(1)


def detour(features: Tensor) -> Tensor:
    """``path_length`` over the distance of its ends, at least 1, (n,): 1 for a straight path; NaN where ends agree."""
    straight = _length(features[:, -1] - features[:, 0])
    return path_length(features) / straight.where(straight > 0, torch.nan)


def classes_met(classes: Tensor) -> list[list[int]]:
    """The classes of each path (n, points) in the order they are met, repetitions in a row left out."""
    return [[label for label, _ in groupby(path)] for path in classes.tolist()]


def third_classes(classes: Tensor) -> list[list[int]]:
    """The classes met on each path (n, points) that neither of its ends has, ascending."""
    return [sorted({*path} - {path[0], path[-1]}) for path in classes.tolist()]


def _at_right_angles(unit: Tensor, part: Tensor) -> Tensor:
    """Unit vectors at right angles to ``unit`` (n, d) along ``part``, which is so; where that is next to 0, others."""
    axis = torch.zeros_like(unit).scatter(1, unit.abs().argmin(1, keepdim=True), 1.0)
    # below this the direction is what rounding has left of it; above it may still lean a little
    rounding = 10 * torch.finfo(unit.dtype).eps
    length = _length(part)[:, None]
    leaning = torch.where(length > rounding, part / length, axis)
    aside = leaning - (leaning * unit).sum(1, keepdim=True) * unit
    return aside / _length(aside)[:, None].clamp(min=torch.finfo(unit.dtype).tiny)


def _length(vectors: Tensor) -> Tensor:
    """Euclidean norms over the last dimension."""
    return vectors.square().sum(-1).sqrt()
