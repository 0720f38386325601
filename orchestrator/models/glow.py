"""Glow, an invertible network: Kingma and Dhariwal, arXiv 1807.03039."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.models.model import Layers, Model, MultiplyAdds, NetworkLayers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from orchestrator.data.images import ImageShape


_OPERATIONS = 44
"""Operations of a pass through a step: the coupling's convolutions, the 1x1 convolution's factors, the determinants."""


class Glow(Model):
    """Steps of actnorm, invertible 1x1 convolution and affine coupling; after each level half is factored out.

    There are as many latent numbers as pixels times channels: an image has exactly one latent vector, and a likelihood.
    """

    networks: ClassVar[frozenset[str]] = frozenset({"flow"})

    kind: Literal["glow"]
    levels: int = Field(2, ge=1, le=16)
    """halvings of the sides, each with its steps; L of the paper"""
    steps: int = Field(8, ge=1, le=1024)
    """steps of each level; K of the paper"""
    width: int = Field(64, ge=1, le=4096)
    """maps in the networks of the couplings"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        if image.height % 2**self.levels == 0 and image.width % 2**self.levels == 0:
            return None
        most = next(n for n in range(64) if image.height % 2 ** (n + 1) or image.width % 2 ** (n + 1))
        why = f"halves the sides {self.levels} times, which those of the data, {image.height}x{image.width}, do not let"
        return f"{self.kind} with levels: {self.levels} {why}; " + (f"the most: {most}" if most else "pad the images")

    def latents(self, image: ImageShape) -> int:
        """One for each number of the image."""
        return prod(image)

    def build_generator(self, image: ImageShape) -> nn.Module:
        """The whole flow; its ``forward`` is the inverse, from latents to images."""
        from orchestrator.models._flow import Flow

        return Flow(image, self.levels, self.steps, self.width)

    def init_weights(self, network: nn.Module, source: torch.Generator) -> None:
        """See ``Flow.init_weights``."""
        from orchestrator.models._flow import Flow

        assert isinstance(network, Flow)
        network.init_weights(source)

    def layers(self, image: ImageShape) -> int:  # noqa: D102
        return 8 * self.levels * self.steps

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        return NetworkLayers(Layers(others=_OPERATIONS * self.levels * self.steps))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        from orchestrator.models._flow_cost import flow_multiply_adds

        return MultiplyAdds(flow_multiply_adds(image, self.levels, self.steps, self.width))
