"""DCGAN for images of any shape: Radford et al., arXiv 1511.06434, figure 1, scaled to the image."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.models._sides import Sides, area, depth_to, doubled, halved, kernel, too_small
from orchestrator.models.model import Model, MultiplyAdds

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

_SMALLEST = 7
"""Shorter side of the generator's first maps, in pixels, is at most this: 7 for 28x28 images, 4 for 32x32 and 64x64."""


class Dcgan(Model):
    """Transposed convolutions up, strided convolutions down, batch norm between; no batch norm next to the image.

    ``width`` is the number of feature maps next to the image; it doubles at every halving of the side, up to
    ``max_width``. The generator's first maps are as large as the image halved ``depth`` times, odd sides rounded up.
    """

    kind: Literal["dcgan"]
    width: int = Field(64, ge=1, le=4096)
    """feature maps next to the image"""
    max_width: int | None = Field(None, ge=1, le=65536)
    """most feature maps of a layer"""
    depth: int | None = Field(None, ge=1, le=16)
    """doublings of the side from the generator's first maps to the image; by default to maps of at most 7 pixels"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        depth = self._depth(image)
        return too_small(f"{self.kind} at depth {depth}", image, depth)

    def _depth(self, image: ImageShape) -> int:
        return self.depth or depth_to(image, _SMALLEST)

    def _stages(self, image: ImageShape) -> tuple[list[int], list[Sides]]:
        """Feature maps and their sides at each stage, from the image itself inwards."""
        depth = self._depth(image)
        return [image.channels, *doubled(self.width, self.max_width, depth)], halved(image, depth)

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import FromLatent

        widths, sides = self._stages(image)
        layers: list[nn.Module] = [
            FromLatent(self.latent_dim, widths[-1], sides[-1], bias=not self.normalizes),
            *self.norm(widths[-1]),
            nn.ReLU(inplace=True),
        ]
        for stage in range(len(widths) - 2, 0, -1):
            layers += [
                nn.ConvTranspose2d(
                    widths[stage + 1], widths[stage], kernel(sides[stage]), 2, 1, bias=not self.normalizes
                ),
                *self.norm(widths[stage]),
                nn.ReLU(inplace=True),
            ]
        return nn.Sequential(*layers, nn.ConvTranspose2d(widths[1], image.channels, kernel(sides[0]), 2, 1), nn.Tanh())

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScore

        widths, sides = self._stages(image)
        layers: list[nn.Module] = [
            nn.Conv2d(image.channels, widths[1], kernel(sides[0]), 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for stage in range(1, len(widths) - 1):
            layers += [
                nn.Conv2d(widths[stage], widths[stage + 1], kernel(sides[stage]), 2, 1, bias=not self.d_normalizes),
                *self.d_norm(widths[stage + 1]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        return Discriminator(nn.Sequential(*layers), ToScore(widths[-1], sides[-1]), self.disturbance)

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        widths, sides = self._stages(image)
        # Either way, a convolution between two stages multiplies its kernel with every position of its smaller maps.
        between = sum(
            area(kernel(outer)) * more * fewer * area(inner)
            for (more, fewer), (outer, inner) in zip(pairwise(widths), pairwise(sides), strict=True)
        )
        ends = area(sides[-1]) * widths[-1]
        return MultiplyAdds(between + ends * self.latent_dim, between + ends)
