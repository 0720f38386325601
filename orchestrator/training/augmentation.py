"""Differentiable augmentation: Zhao et al., arXiv 2006.10738.

The definitions are those of the authors' code, mit-han-lab/data-efficient-gans. Images (n, c, h, w) lie in [-1, 1] as
there, so that the zeros which ``translation`` and ``cutout`` fill in are mid-grey. Values may leave the range: nothing
is clamped, since a clamped value would pass no gradient on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRANSLATION, CUTOUT = 0.125, 0.5
"""Shares of an image's sides: the farthest shift, and the sides of the rectangle cut out."""


class Augmentation:
    """Augments each image of a batch by random numbers of its own, drawn anew in each call.

    The numbers come from ``generator``, which each process seeds for its own images. Without policies it does nothing.
    """

    def __init__(self, policies: Sequence[str], generator: torch.Generator) -> None:
        self.policies, self.generator = policies, generator

    def __call__(self, images: Tensor) -> Tensor:
        """The augmented images, in at least single precision, with a graph to ``images``."""
        if self.policies:
            images = images.to(torch.promote_types(images.dtype, torch.float32))
        for policy in self.policies:
            images = _POLICIES[policy](images, self.generator)
        return images


def brightness(images: Tensor, share: Tensor) -> Tensor:
    """Brightness: x + (u - 1/2), for u (n,) in [0, 1]."""
    return images + (_each(share, images) - 0.5)


def saturation(images: Tensor, share: Tensor) -> Tensor:
    """Saturation: 2 u (x - m) + m, with m each pixel's mean over channels. Images of one channel stay as they are."""
    mean = images.mean(1, keepdim=True)
    return (images - mean) * (2 * _each(share, images)) + mean


def contrast(images: Tensor, share: Tensor) -> Tensor:
    """Contrast: (u + 1/2) (x - m) + m, with m the mean of each image."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (_each(share, images) + 0.5) + mean


def translate(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """The pixel at (i + down, j + across) of each image at (i, j), or 0 outside; shifts (n,) are whole numbers."""
    for side, shift in ((2, down), (3, across)):
        size = images.shape[side]
        place = torch.arange(size, device=images.device) + shift[:, None]
        inside = (place >= 0) & (place < size)
        shape = [len(images), 1, 1, 1]
        shape[side] = size
        source = place.clamp(0, size - 1).view(shape).expand_as(images)
        images = images.gather(side, source) * inside.view(shape)
    return images


def cut_out(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The images with 0 in a rectangle of half their sides around (row, column), each (n,); it may reach outside."""
    inside = []
    for side, middle in ((2, row), (3, column)):
        size = _share_of(images.shape[side], CUTOUT)
        offset = torch.arange(images.shape[side], device=images.device) - (middle - size // 2)[:, None]
        inside.append((offset >= 0) & (offset < size))
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    for change in (brightness, saturation, contrast):
        images = change(images, torch.rand(len(images), generator=generator, device=images.device))
    return images


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    farthest = [_share_of(size, TRANSLATION) for size in images.shape[2:]]
    down, across = (_integers(images, -most, most + 1, generator) for most in farthest)
    return translate(images, down, across)


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    # A rectangle of even sides has its middle between two pixels, of which there is one more than of pixels.
    ends = [size + 1 - _share_of(size, CUTOUT) % 2 for size in images.shape[2:]]
    row, column = (_integers(images, 0, end, generator) for end in ends)
    return cut_out(images, row, column)


_POLICIES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}


def _integers(images: Tensor, first: int, end: int, generator: torch.Generator) -> Tensor:
    return torch.randint(first, end, (len(images),), generator=generator, device=images.device)


def _share_of(size: int, share: float) -> int:
    return int(size * share + 0.5)


def _each(share: Tensor, images: Tensor) -> Tensor:
    return share.to(images.dtype).view(-1, 1, 1, 1)
