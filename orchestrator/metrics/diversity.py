"""Diversity: the mean distance between images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class RunningDistance:
    """Root of the mean squared Euclidean distance between two different images, in units of a pixel's range.

    Images (n, ...) uint8 come in batches, and none is kept. The mean over all pairs is twice the sum of the pixels'
    unbiased variances. Sums are whole numbers, so that images that are all the same have the distance 0 exactly; up to
    10 million images they fit.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, images: Tensor) -> None:
        """Add images (b, ...) uint8."""
        assert images.dtype == torch.uint8, images.dtype
        pixels = images.flatten(1).long()
        if not self.count:
            self._sums, self._squares = torch.zeros_like(pixels[0]), torch.zeros_like(pixels[0])
        self._sums += pixels.sum(0)
        self._squares += pixels.square().sum(0)
        self.count += len(images)

    @property
    def distance(self) -> float:
        """Of the images so far, two at least."""
        assert self.count >= 2, "a distance takes two images"
        spread = (self.count * self._squares - self._sums.square()).double().sum()
        return math.sqrt(2 * float(spread) / (self.count * (self.count - 1))) / 255


def mean_distance(images: Tensor) -> float:
    """The distance of images (n, ...) uint8, n at least 2."""
    running = RunningDistance()
    # In parts: whole numbers take eight times the memory of the images.
    for part in torch.split(images, 1024):
        running.add(part)
    return running.distance
