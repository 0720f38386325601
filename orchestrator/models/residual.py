"""Residual networks after BigGAN, Brock et al., arXiv 1809.11096, appendix B, without classes and attention."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.models._sides import Sides, area, depth_to, doubled, halved, too_small
from orchestrator.models.model import Layers, MultiplyAdds, NetworkLayers
from orchestrator.models.pair import Pair

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

_SMALLEST = 7
"""Shorter side of the smallest maps, in pixels, is at most this: 7 for 28x28 images, 4 for 32x32 and 64x64."""


class Residual(Pair):
    """Residual blocks that double the sides against ones that halve them; the discriminator sums over positions.

    ``width`` is the number of feature maps next to the image; it doubles at every halving of the side, up to
    ``max_width``. The smallest maps are as large as the image halved ``depth`` times, odd sides rounded up. Initial
    weights are orthogonal and the discriminator has no norm, as in BigGAN; BigGAN's spectral norm is off by default.
    """

    kind: Literal["residual"]
    discriminator_norm: Literal["batch", "layer", "none"] = "none"
    """the discriminator's norm: batch norm as far as there is any, layer norm over each image, or none"""
    initialization: Literal["normal", "orthogonal"] = "orthogonal"
    """first weights of convolutions and linear layers: N(0, 0.02), or orthogonal"""
    width: int = Field(64, ge=1, le=4096)
    """feature maps next to the image"""
    max_width: int | None = Field(None, ge=1, le=65536)
    """most feature maps of a layer"""
    depth: int | None = Field(None, ge=1, le=16)
    """doublings of the side from the generator's first maps to the image; by default to maps of at most 7 pixels"""
    skip_z: Literal["none", "chunks", "whole"] = "none"
    """part of the latent vector that modulates the norms of each block: none, a chunk of its own, or the whole"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        depth = self._depth(image)
        if self.skip_z == "chunks" and self.latent_dim <= depth:
            return (
                f"residual cuts the latent vector into {depth + 1} chunks (skip_z), "
                f"latent_dim is {self.latent_dim}: it must be at least {depth + 1}"
            )
        return too_small(f"{self.kind} at depth {depth}", image, depth)

    def _depth(self, image: ImageShape) -> int:
        return self.depth or depth_to(image, _SMALLEST)

    def _stages(self, image: ImageShape) -> tuple[list[int], list[Sides]]:
        """Feature maps of each block, and sides before and after each, from the image inwards."""
        depth = self._depth(image)
        return doubled(self.width, self.max_width, depth), halved(image, depth)

    def _parts(self, blocks: int) -> list[slice]:
        """The parts of the latent vector that the generator's first maps and each block depend on."""
        whole = slice(0, self.latent_dim)
        if self.skip_z == "chunks":
            cuts = [self.latent_dim * number // (blocks + 1) for number in range(blocks + 2)]
            return [slice(start, stop) for start, stop in pairwise(cuts)]
        return [whole, *[whole if self.skip_z == "whole" else slice(0, 0)] * blocks]

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from orchestrator.models._residual_blocks import ResidualGenerator

        widths, sides = self._stages(image)
        # The block at the smallest maps keeps their number.
        up = [widths[-1], *widths[::-1]]
        return ResidualGenerator(self._parts(len(widths)), up, sides[::-1], image.channels, self.norm)

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScoreOfVector
        from orchestrator.models._residual_blocks import Down, Total

        widths, _ = self._stages(image)
        body = nn.Sequential(
            Down(image.channels, widths[0], self.d_norm, first=True),
            *(Down(before, after, self.d_norm) for before, after in pairwise(widths)),
            Down(widths[-1], widths[-1], self.d_norm, halves=False),
            nn.ReLU(),
            Total(),
        )
        return Discriminator(body, ToScoreOfVector(widths[-1]), self.noise_settings)

    def layers(self, image: ImageShape) -> int:  # noqa: D102
        return 3 * (self._depth(image) + 1)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        depth = self._depth(image)
        modulations = 0 if self.skip_z == "none" else 4 * depth
        generator = Layers(3 * depth + 2 + modulations, self.norms(2 * depth + 1))
        return NetworkLayers(generator, Layers(3 * depth + 3, self.d_norms(depth + 1)))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        widths, sides = self._stages(image)
        pixels = [area(side) for side in sides]
        first, *parts = (part.stop - part.start for part in self._parts(len(widths)))
        up, down = [*widths, widths[-1]], [image.channels, *widths]
        # Two 3x3 convolutions at the larger sides of a block, one 1x1 around them at the smaller ones.
        generator = first * up[-1] * pixels[-1] + 9 * up[0] * image.channels * pixels[0]
        for (after, before), (large, little), part in zip(pairwise(up), pairwise(pixels), reversed(parts), strict=True):
            generator += 9 * (before + after) * after * large + before * after * little + 2 * part * (before + after)
        discriminator = 18 * widths[-1] ** 2 * pixels[-1] + widths[-1]
        for (before, after), (large, little) in zip(pairwise(down), pairwise(pixels), strict=True):
            discriminator += 9 * (before + after) * after * large + before * after * little
        return MultiplyAdds(generator, discriminator)
