"""Norms of the difference of two images, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["l1", "l2", "huber"]

HUBER_DELTA = 0.1
"""Difference at which Huber's loss changes from a square to a line, for images in [0, 1]."""


def per_pixel(norm: Norm, difference: Tensor) -> Tensor:
    """|d|, d^2, or Huber's loss (1964) of each number: d^2 / 2 up to delta, delta (|d| - delta / 2) from there on."""
    if norm == "l2":
        return difference.square()
    distance = difference.abs()
    if norm == "l1":
        return distance
    near = distance.clamp(max=HUBER_DELTA)
    return near * (distance - near / 2)
