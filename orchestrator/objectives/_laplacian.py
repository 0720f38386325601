"""The L1 distance of the Laplacian pyramids of images, Lap1 of Bojanowski et al."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

_LEVELS = 6
"""five halvings"""


def laplacian_l1(images: Tensor, targets: Tensor, levels: int | None = None) -> Tensor:
    """Sum over levels j of the mean of |L^j(x) - L^j(x')| over the level's pixels and channels, of each image (n,).

    Images (n, c, h, w) of any range. ``levels``, from 1 to ``most_levels``, includes the coarsest level, which is the
    image after all halvings; the default is ``most_levels``, but at most 6. One level is the mean absolute error.
    At least single precision.

    Bojanowski et al., arXiv 1707.05776: Lap1 = sum_j 2^2j |L^j(x) - L^j(x')|_1; here j = 0 is the finest level.
    Divided by the number of pixels and channels N_0 of level 0, it does not depend on the size of images. This equals
    the sum of means if sides are halved exactly; if they are rounded up, N_0 / N_j replaces 2^2j. A difference that is
    the same at all pixels is in the coarsest level only, and counts in full.

    The pyramid is that of Burt and Adelson, The Laplacian pyramid as a compact image code (1983), with the kernel
    (1 4 6 4 1) / 16 along both sides, mirrored about the outermost pixels. G^0 = x; G^j+1 is every second pixel of the
    blurred G^j; L^j = G^j - 4 blur(G^j+1 with zeros between its pixels); the last L^j = G^j. All of this is linear, so
    that one pyramid, of the difference, is enough.
    """
    most = most_levels(*images.shape[-2:])
    levels = min(most, _LEVELS) if levels is None else levels
    assert 1 <= levels <= most, f"images of {tuple(images.shape[-2:])} pixels have 1 to {most} levels"
    precision = torch.promote_types(images.dtype, torch.float32)
    level = images.to(precision) - targets.to(precision)
    total = level.new_zeros(len(level))
    for _ in range(levels - 1):
        down, across = (_blur(side, level.dtype, level.device) for side in level.shape[-2:])
        coarse = down[::2] @ level @ across[::2].T
        total = total + _mean_absolute(level - 4 * down[:, ::2] @ coarse @ across[:, ::2].T)
        level = coarse
    return total + _mean_absolute(level)


def most_levels(height: int, width: int) -> int:
    """One more than the halvings, rounded up, that leave two pixels on the shorter side; 1 if it has one pixel."""
    return max(1, (min(height, width) - 1).bit_length())


def _mean_absolute(values: Tensor) -> Tensor:
    return values.abs().mean((1, 2, 3))


@cache
def _blur(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The blur along one side as a matrix (side, side), cached because every step of a trial uses the same few.

    Every second row of it blurs and halves; every second column doubles, with zeros between the pixels, and blurs.
    """
    mirrored = pad(torch.eye(side, dtype=dtype, device=device)[None], (2, 2), mode="reflect")[0].T
    for _ in range(4):  # the mean of neighbours, four times: binomial weights
        mirrored = (mirrored[1:] + mirrored[:-1]) / 2
    return mirrored
