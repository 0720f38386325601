"""The encoder and decoder of experiment E1: three convolutions and a linear layer each way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.models._sides import Sides, area, doubled, halved, strided_multiply_adds, too_small
from orchestrator.models.model import Decoder, Layers, MultiplyAdds, NetworkLayers

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape


class EncoderDecoder(Decoder):
    """Convolutions of stride 2 with LeakyReLU and a linear layer to the code; the same in reverse, with ReLU, from it.

    Layers are those of ``dcgan``, so that its generator and this decoder are comparable. ``width`` is the number of
    maps next to the image; it doubles at every halving of the side. Batch norm follows every convolution but the last.
    """

    networks: ClassVar[frozenset[str]] = frozenset({"generator", "encoder"})

    kind: Literal["encoder_decoder"]
    width: int = Field(32, ge=1, le=4096)
    """feature maps next to the image"""
    depth: int = Field(3, ge=1, le=16)
    """convolutions of the encoder, and transposed ones of the decoder; each halves or doubles the sides"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        return too_small(f"{self.kind} at depth {self.depth}", image, self.depth)

    def _stages(self, image: ImageShape) -> tuple[list[int], list[Sides]]:
        """Feature maps and their sides at each stage, from the image itself inwards."""
        return [image.channels, *doubled(self.width, None, self.depth)], halved(image, self.depth)

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from orchestrator.models._strided import upward

        return upward(self.latent_dim, *self._stages(image), self.norm)

    def build_encoder(self, image: ImageShape) -> nn.Module:
        """Images (n, c, h, w) in [-1, 1] to codes (n, latent_dim), for a shape that ``reject`` lets pass."""
        from orchestrator.models._strided import encoder

        return encoder(*self._stages(image), self.latent_dim, self.norm)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        one_way = Layers(self.depth + 1, self.norms(self.depth))
        return NetworkLayers(one_way, encoder=one_way)

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        widths, sides = self._stages(image)
        one_way = strided_multiply_adds(widths, sides) + area(sides[-1]) * widths[-1] * self.latent_dim
        return MultiplyAdds(one_way, encoder=one_way)
