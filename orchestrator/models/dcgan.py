"""DCGAN for 28x28 and 32x32 images: Radford et al., arXiv 1511.06434, figure 1, scaled down."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.models.model import Model, MultiplyAdds

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

_STAGES = {28: 2, 32: 3}
"""Doublings of the image side from the generator's first feature map (7 or 4 pixels) to the image."""


class Dcgan(Model):
    """Transposed convolutions up, strided convolutions down, batch norm between; no batch norm next to the image.

    ``width`` is the number of feature maps next to the image; it doubles at every halving of the side.
    """

    kind: Literal["dcgan"]
    width: int = Field(64, ge=1, le=4096)
    """feature maps next to the image"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        if image.height != image.width or image.height not in _STAGES:
            return f"dcgan makes 28x28 or 32x32 images, the data's are {image.height}x{image.width}"
        return None

    def _widths(self, image: ImageShape) -> list[int]:
        """Feature maps at each stage, from the image inwards."""
        return [self.width * 2**stage for stage in range(_STAGES[image.height])]

    def build_generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import FromLatent

        widths = self._widths(image)[::-1]
        side = image.height >> len(widths)
        layers: list[nn.Module] = [
            FromLatent(self.latent_dim, widths[0], side, bias=not self.normalizes),
            *self.norm(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for before, after in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=not self.normalizes),
                *self.norm(after),
                nn.ReLU(inplace=True),
            ]
        return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], image.channels, 4, 2, 1), nn.Tanh())

    def build_discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScore

        widths = self._widths(image)
        layers: list[nn.Module] = [
            nn.Conv2d(image.channels, widths[0], 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=not self.normalizes),
                *self.norm(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        side = image.height >> len(widths)
        return Discriminator(nn.Sequential(*layers), ToScore(widths[-1], side))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        widths = [image.channels, *self._widths(image)]
        side = image.height >> (len(widths) - 1)
        # A 4x4 convolution between two stages costs 16 products for every position of its smaller map.
        between = sum(
            16 * outer * inner * (image.height >> stage) ** 2
            for stage, (outer, inner) in enumerate(pairwise(widths), start=1)
        )
        ends = side * side * widths[-1]
        return MultiplyAdds(between + ends * self.latent_dim, between + ends)
