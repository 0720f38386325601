"""Noise from one pixel to the next: impulses, and pixelation; one number for each image, independent of the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

IMPULSE = 0.25
"""A pixel is an impulse if it differs by more than this from the median around it, images being in [0, 1]."""

_AT_ONCE = 16
"""Images whose windows, nine times as large, are in memory."""


def salt_and_pepper(images: Tensor) -> Tensor:
    """Share (n,) of the pixels of images (n, c, h, w) in [0, 1] that stand out from those around them: impulses.

    A pixel counts if it differs from the median of the 3x3 pixels around it by more than IMPULSE: the detector of Sun
    and Neuvo, Detail-preserving median based filters in image processing (1994), section 2. Channels count separately,
    the outermost pixels not at all, so that sides are at least 3. Ends of thin strokes count too: compare with the
    data's own share.
    """
    return torch.cat([_impulses(part) for part in torch.split(images, _AT_ONCE)])


def _impulses(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    windows = torch.stack(
        [images[..., y : y + height - 2, x : x + width - 2] for y in range(3) for x in range(3)], dim=-1
    )
    differences = (windows[..., 4] - windows.median(dim=-1).values).abs()
    return (differences > IMPULSE).flatten(1).double().mean(1).to(images)


def pixelation(images: Tensor) -> Tensor:
    """Noise (n,) from one pixel to the next of images (n, c, h, w) in [0, 1], as a standard deviation.

    Immerkaer, Fast noise variance estimation (1996): sqrt(pi / 2) / 6 times the mean absolute value of the image
    filtered by (1 -2 1; -2 4 -2; 1 -2 1), the mean over channels. That filter is 0 on slopes and along straight edges
    that are upright or level; independent normal noise of standard deviation s gives s. What remains is grain and the
    corners of blocks, by which an image looks pixelated. The outermost pixels are left out: sides are at least 3.
    """
    x = images.double()
    upright = x[..., :-2, :] - 2 * x[..., 1:-1, :] + x[..., 2:, :]
    both = upright[..., :-2] - 2 * upright[..., 1:-1] + upright[..., 2:]
    return (math.sqrt(math.pi / 2) / 6 * both.abs().flatten(1).mean(1)).to(images)
