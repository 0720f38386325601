"""Diversity: the mean distance between images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def mean_distance(images: Tensor) -> float:
    """Root of the mean squared Euclidean distance between two different images (n, ...), in units of a pixel's range.

    Pixels are in [0, 1]; uint8 images are divided by 255. n at least 2.

    The mean over all pairs is twice the sum of the pixels' unbiased variances, so that no pair is formed.
    """
    assert len(images) >= 2, "a distance takes two images"
    if bool((images == images[:1]).all()):
        return 0.0  # exactly, without the rounding of their mean
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    for columns in torch.split(images.flatten(1), 8192, dim=1):
        total += (columns.double() / scale).var(0).sum()
    return float((2 * total).sqrt())
