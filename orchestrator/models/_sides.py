"""Sides and numbers of feature maps from an image to the smallest maps of a network, for images of any shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.data.images import ImageShape

Sides = tuple[int, int]
"""Height and width in pixels."""


def halved(image: ImageShape, depth: int) -> list[Sides]:
    """The image's sides and those after each of ``depth`` halvings, rounded up."""
    return [(-(-image.height // 2**times), -(-image.width // 2**times)) for times in range(depth + 1)]


def depth_to(image: ImageShape, smallest: int) -> int:
    """The number of halvings, at least one, after which the shorter side is at most ``smallest`` pixels."""
    side = min(image.height, image.width)
    return next(depth for depth in range(1, 64) if side <= smallest * 2**depth)


def too_small(network: str, image: ImageShape, depth: int) -> str | None:
    """Why a network cannot halve an image ``depth`` times, or None where at least 2x2 pixels are left."""
    least = 2**depth + 1
    if min(image.height, image.width) >= least:
        return None
    return f"{network} takes images of at least {least}x{least}, the data's are {image.height}x{image.width}"


def doubled(width: int, most: int | None, depth: int) -> list[int]:
    """Numbers of maps at ``depth`` stages, from ``width`` on, at most ``most``."""
    widths = [width * 2**stage for stage in range(depth)]
    return widths if most is None else [min(width, most) for width in widths]


def kernel(outer: Sides) -> Sides:
    """Kernel of a convolution of stride 2 and padding 1 between maps of these sides and the halved ones.

    4 where the side is even, as in DCGAN; 3 where it is odd, which maps (side + 1) / 2 pixels back to ``side``.
    """
    return (4 - outer[0] % 2, 4 - outer[1] % 2)


def area(sides: Sides) -> int:
    """Pixels of maps, or weights of a kernel."""
    return sides[0] * sides[1]


def strided_multiply_adds(widths: Sequence[int], sides: Sequence[Sides]) -> int:
    """Multiply-adds of the convolutions, up or down: each applies its kernel at every position of its smaller maps."""
    return sum(
        area(kernel(sides[stage])) * widths[stage] * widths[stage + 1] * area(sides[stage + 1])
        for stage in range(len(widths) - 1)
    )
