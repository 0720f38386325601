"""DCGAN for images of any shape: Radford et al., arXiv 1511.06434, figure 1, scaled to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.models._sides import Sides, area, depth_to, doubled, halved, strided_multiply_adds, too_small
from orchestrator.models.model import Layers, MultiplyAdds, NetworkLayers
from orchestrator.models.pair import Pair

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

_SMALLEST = 7
"""Shorter side of the generator's first maps, in pixels, is at most this: 7 for 28x28 images, 4 for 32x32 and 64x64."""


class Dcgan(Pair):
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
        from orchestrator.models._strided import upward

        return upward(self.latent_dim, *self._stages(image), self.norm)

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScore
        from orchestrator.models._strided import downward

        widths, sides = self._stages(image)
        body = nn.Sequential(*downward(widths, sides, self.d_norm, first=lambda maps: []))
        return Discriminator(body, ToScore(widths[-1], sides[-1]), self.noise_settings)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        depth = self._depth(image)
        return NetworkLayers(Layers(depth + 1, self.norms(depth)), Layers(depth + 1, self.d_norms(depth - 1)))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        widths, sides = self._stages(image)
        between = strided_multiply_adds(widths, sides)
        ends = area(sides[-1]) * widths[-1]
        return MultiplyAdds(between + ends * self.latent_dim, between + ends)
