"""Differences of images by scale: the L1 norm of their Laplacian pyramids, Lap1 of Bojanowski et al."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

_LEVELS = 6
"""five halvings"""


def laplacian_l1(images: Tensor, targets: Tensor, levels: int | None = None) -> Tensor:
    """Sum over levels j of the mean of |L^j(x) - L^j(x')| over the level's pixels and channels, of each image (n,).

    Images (n, c, h, w) of any range; ``levels`` counts the coarsest, which is what the halvings have left, and is 1 to
    ``most_levels``: that, but at most 6, where it is not given. One level is the mean absolute error. In single
    precision at least.

    Bojanowski et al., arXiv 1707.05776: Lap1 = sum_j 2^2j |L^j(x) - L^j(x')|_1; here j = 0 is the finest level. Over
    the number of pixels and channels N_0 of level 0, so that it does not depend on the size of images, that is this sum
    of means wherever sides are halved exactly; where they are rounded up, N_0 / N_j stands for 2^2j. A difference that
    is the same at all pixels is in the coarsest level alone, and counts as it is.

    The pyramid is that of Burt and Adelson, The Laplacian pyramid as a compact image code (1983), of the kernel
    (1 4 6 4 1) / 16 along both sides, mirrored about the outermost pixels: G^0 = x, G^j+1 is every second pixel of G^j
    blurred, L^j = G^j less G^j+1 with zeros put between its pixels and four times blurred, and the last L^j = G^j. All
    this is linear, so that one pyramid is made, of the difference.
    """
    most = most_levels(*images.shape[-2:])
    levels = min(most, _LEVELS) if levels is None else levels
    assert 1 <= levels <= most, f"images of {tuple(images.shape[-2:])} pixels have 1 to {most} levels"
    precision = torch.promote_types(images.dtype, torch.float32)
    rest = images.to(precision) - targets.to(precision)
    total = rest.new_zeros(len(rest))
    for _ in range(levels - 1):
        down, across = (_blur(side, rest.dtype, rest.device) for side in rest.shape[-2:])
        coarse = down[::2] @ rest @ across[::2].T
        total = total + _mean_size(rest - 4 * down[:, ::2] @ coarse @ across[:, ::2].T)
        rest = coarse
    return total + _mean_size(rest)


def most_levels(height: int, width: int) -> int:
    """One more than the halvings, rounded up, that leave two pixels on the shorter side, where there are two."""
    return max(1, (min(height, width) - 1).bit_length())


def _mean_size(values: Tensor) -> Tensor:
    return values.abs().mean((1, 2, 3))


@cache
def _blur(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The blur along one side as a matrix (side, side), made once: every step of a trial takes the same few.

    Its every second row blurs and halves; its every second column doubles and blurs, zeros lying between.
    """
    mirrored = pad(torch.eye(side, dtype=dtype, device=device)[None], (2, 2), mode="reflect")[0].T
    for _ in range(4):  # the mean of neighbours, four times: binomial weights
        mirrored = (mirrored[1:] + mirrored[:-1]) / 2
    return mirrored
