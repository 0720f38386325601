"""Fully connected networks for images of any shape, similar to Goodfellow et al., arXiv 1406.2661, section 5."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from orchestrator.models._activations import Activation, activation_layer
from orchestrator.models.model import Layers, MultiplyAdds, NetworkLayers
from orchestrator.models.pair import Pair

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

Width = Annotated[int, Field(ge=1, le=65536, strict=True)]


class FullyConnected(Pair):
    """Linear layers only: pixels depend on each other only through the latent vector."""

    of_vectors: ClassVar[bool] = True

    kind: Literal["fully_connected"]
    discriminator_norm: Literal["batch", "layer", "none"] = "none"
    """the discriminator's norm: batch norm as far as there is any, layer norm over each image, or none"""
    generator_widths: tuple[Width, ...] = Field((256, 512, 1024), min_length=1, max_length=16, strict=False)
    """numbers in each hidden layer of the generator, from the latent vector on"""
    discriminator_widths: tuple[Width, ...] = Field((1024, 512, 256), min_length=1, max_length=16, strict=False)
    """numbers in each hidden layer of the discriminator, from the image on"""
    activation: Activation = "leaky_relu"
    """what follows each hidden layer of both networks"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        return None

    def least_part(self, trained: frozenset[str], workers: int) -> int:
        """Two also with layer norm over one number, which torch accepts for several images only."""
        one_number = self.discriminator_norm == "layer" and 1 in self.discriminator_widths
        return 2 if one_number and "discriminator" in trained else super().least_part(trained, workers)

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import connected

        widths = (self.latent_dim, *self.generator_widths)
        return nn.Sequential(
            *connected(widths, self.norm, partial(activation_layer, self.activation), 0.0),
            nn.Linear(widths[-1], prod(image)),
            nn.Tanh(),
            nn.Unflatten(1, tuple(image)),
        )

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScoreOfVector, connected

        widths = (prod(image), *self.discriminator_widths)
        layers = connected(widths, self.d_norm, partial(activation_layer, self.activation), self.dropout)
        return Discriminator(nn.Sequential(nn.Flatten(), *layers), ToScoreOfVector(widths[-1]), self.noise_settings)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        up, down = len(self.generator_widths), len(self.discriminator_widths)
        return NetworkLayers(Layers(up + 1, self.norms(up)), Layers(down + 1, self.d_norms(down)))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        up, down = (self.latent_dim, *self.generator_widths, prod(image)), (prod(image), *self.discriminator_widths, 1)
        return MultiplyAdds(*(sum(before * after for before, after in pairwise(widths)) for widths in (up, down)))
