"""The ranges that images have: bytes as stored, [-1, 1] where networks train, [0, 1] where errors are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def from_bytes(images: Tensor) -> Tensor:
    """Images of uint8, 0 black to 255 white, as float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, 0 black to 255 white; values outside are clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).byte()


def unit_from_bytes(images: Tensor) -> Tensor:
    """Images of uint8, 0 black to 255 white, as float32 in [0, 1]."""
    return images.float() / 255


def unit_from_signed(images: Tensor) -> Tensor:
    """Images in [-1, 1] as [0, 1]; values outside stay outside, with their gradient."""
    return (images + 1) / 2


def signed_from_unit(images: Tensor) -> Tensor:
    """Images in [0, 1] as [-1, 1]."""
    return 2 * images - 1


def to_unit(images: Tensor) -> Tensor:
    """Images in [-1, 1] as [0, 1]; values outside are clamped, as in pictures."""
    return images.add(1).div_(2).clamp_(0, 1)
