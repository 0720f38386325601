"""The pair of BEGAN, Berthelot et al., arXiv 1703.10717, section 3.5: an autoencoder as D and a decoder as G."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.models._sides import Sides, area, depth_to, halved, too_small
from orchestrator.models.model import Layers, MultiplyAdds, NetworkLayers
from orchestrator.models.pair import Pair

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

_SMALLEST = 8
"""Shorter side of the smallest maps, in pixels, is at most this, as in BEGAN."""


class Autoencoding(Pair):
    """ELU, by default without batch norm; the generator has the decoder's architecture and its own weights.

    Initial weights are orthogonal: with N(0, 0.02) and no norm, activations would vanish in so many layers.

    The discriminator's scores are reconstruction errors and its features the codes; it also has a method
    ``reconstruct``. The encoder has ``width`` maps at the image's sides and as many more after each halving; the
    decoder has ``width`` everywhere. The smallest maps are as large as the image halved ``depth`` times, odd sides
    rounded up.
    """

    judges: ClassVar[Literal["scores", "reconstruction"]] = "reconstruction"

    kind: Literal["autoencoding"]
    batch_norm: Literal["synchronized", "per_device", "none"] = "none"
    """statistics of batch norm over the batch of all devices, of each device alone, or no batch norm"""
    initialization: Literal["normal", "orthogonal"] = "orthogonal"
    """first weights of convolutions and linear layers: N(0, 0.02), or orthogonal"""
    width: int = Field(64, ge=1, le=4096)
    """feature maps next to the image"""
    depth: int | None = Field(None, ge=1, le=16)
    """halvings of the side from the image to the smallest maps; by default to maps of at most 8 pixels"""
    code_dim: int = Field(256, ge=1, le=65536)
    """numbers in a code between encoder and decoder"""
    pooling: Literal["stride", "max"] = "stride"
    """what halves the encoder's maps: convolutions of stride 2, or the largest of 2x2"""
    reconstruction: Literal["l1", "l2"] = "l1"
    """error of a reconstruction: mean over the pixels of the absolute difference, or of its square"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        depth = self._depth(image)
        return too_small(f"{self.kind} at depth {depth}", image, depth)

    def _depth(self, image: ImageShape) -> int:
        return self.depth or depth_to(image, _SMALLEST)

    def _sides(self, image: ImageShape) -> list[Sides]:
        return halved(image, self._depth(image))

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from orchestrator.models._autoencoder import decoder

        return decoder(self.latent_dim, self.width, self._sides(image), image.channels, self.norm)

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from orchestrator.models._autoencoder import Autoencoder, decoder, encoder

        sides = self._sides(image)
        return Autoencoder(
            encoder(image.channels, self.width, sides, self.code_dim, pooling=self.pooling, norm=self.d_norm),
            decoder(self.code_dim, self.width, sides, image.channels, self.d_norm),
            self.reconstruction,
            self.noise_settings,
        )

    def layers(self, image: ImageShape) -> int:  # noqa: D102
        return 15 * (self._depth(image) + 1)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        stages = self._depth(image) + 1
        strides = stages - 1 if self.pooling == "stride" else 0
        generator = Layers(2 * stages + 2, self.norms(2 * stages))
        return NetworkLayers(generator, Layers(4 * stages + strides + 4, self.d_norms(4 * stages + strides)))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        pixels = [area(sides) for sides in self._sides(image)]
        squares = 9 * self.width**2
        at_image = 9 * self.width * image.channels * pixels[0]
        decoder = 2 * squares * sum(pixels) + at_image
        encoder = at_image + self.width * len(pixels) * pixels[-1] * self.code_dim
        for stage, positions in enumerate(pixels, start=1):
            widens = self.pooling == "max" and stage > 1
            encoder += squares * positions * stage * ((stage - 1 if widens else stage) + stage)
            if self.pooling == "stride" and stage > 1:
                encoder += squares * positions * (stage - 1) * stage
        first = self.width * pixels[-1]
        return MultiplyAdds(self.latent_dim * first + decoder, encoder + self.code_dim * first + decoder)
