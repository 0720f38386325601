"""Shapes within a flow and the cost of a pass, for plans: without torch."""

from __future__ import annotations

from orchestrator.data.images import ImageShape


def flow_stages(image: ImageShape, levels: int) -> list[ImageShape]:
    """Shape of the maps in the steps of each level: a level squeezes 2x2 pixels to channels, a split halves those."""
    assert image.height % 2**levels == 0, f"height {image.height} cannot be halved {levels} times"
    assert image.width % 2**levels == 0, f"width {image.width} cannot be halved {levels} times"
    return [
        ImageShape(4 * image.channels * 2**level, image.height // 2 ** (level + 1), image.width // 2 ** (level + 1))
        for level in range(levels)
    ]


def flow_multiply_adds(image: ImageShape, levels: int, steps: int, width: int) -> int:
    """Multiply-adds per image of a pass, in either direction, counting convolutions and matrix products.

    The matrices of 1x1 convolutions and their inverses are left out: a pass computes them once for all images.
    """
    total = 0
    for level, (channels, height, breadth) in enumerate(flow_stages(image, levels)):
        half = channels // 2
        coupling = 9 * half * width + width * width + 9 * width * channels
        split = 9 * half * channels if level < levels - 1 else 0
        total += height * breadth * (steps * (channels * channels + coupling) + split)
    return total
