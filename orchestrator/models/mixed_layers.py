"""The mixed pair of experiment A3: linear layers, then transposed convolutions, against linear layers with dropout."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.models._activations import Activation, activation_layer
from orchestrator.models._sides import area, halved, kernel, too_small
from orchestrator.models.model import Layers, MultiplyAdds, NetworkLayers
from orchestrator.models.pair import Pair

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape

_LINEAR, _MAPS = (256, 512), (64, 16, 8)
"""Of the generator: numbers in its first two layers, and feature maps from the third on."""
_DISCRIMINATOR = (1024, 512, 256)
"""Numbers in the discriminator's hidden layers."""


class MixedLayers(Pair):
    """Generator 256-512-64 maps in linear layers, 16-8-c in transposed convolutions; discriminator 1024-512-256-1.

    The generator's first maps are as large as the image halved three times, odd sides rounded up.
    """

    of_vectors: ClassVar[bool] = True

    kind: Literal["mixed_layers"]
    discriminator_norm: Literal["batch", "layer", "none"] = "none"
    """the discriminator's norm: batch norm as far as there is any, layer norm over each image, or none"""
    activation: Activation = "leaky_relu"
    """what follows each hidden layer of both networks"""

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        return too_small(self.kind, image, len(_MAPS))

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import FromLatent, connected

        sides = halved(image, len(_MAPS))
        bias = not self.normalizes
        layers = connected((self.latent_dim, *_LINEAR), self.norm, partial(activation_layer, self.activation), 0.0)
        layers += [
            FromLatent(_LINEAR[-1], _MAPS[0], sides[-1], bias=bias),
            *self.norm(_MAPS[0]),
            activation_layer(self.activation),
        ]
        for (before, after), outer in zip(pairwise(_MAPS), sides[2:0:-1], strict=True):
            layers += [
                nn.ConvTranspose2d(before, after, kernel(outer), 2, 1, bias=bias),
                *self.norm(after),
                activation_layer(self.activation),
            ]
        return nn.Sequential(*layers, nn.ConvTranspose2d(_MAPS[-1], image.channels, kernel(sides[0]), 2, 1), nn.Tanh())

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScoreOfVector, connected

        widths = (prod(image), *_DISCRIMINATOR)
        layers = connected(widths, self.d_norm, partial(activation_layer, self.activation), self.dropout)
        return Discriminator(nn.Sequential(nn.Flatten(), *layers), ToScoreOfVector(widths[-1]), self.noise_settings)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        return NetworkLayers(Layers(6, self.norms(5)), Layers(4, self.d_norms(3)))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        sides = halved(image, len(_MAPS))
        linear = (self.latent_dim, *_LINEAR, _MAPS[0] * area(sides[-1]))
        # A transposed convolution multiplies its kernel with every position of its smaller maps.
        convolutions = sum(
            area(kernel(outer)) * before * after * area(inner)
            for (before, after), (inner, outer) in zip(
                pairwise((*_MAPS, image.channels)), pairwise(sides[::-1]), strict=True
            )
        )
        generator, discriminator = (
            sum(before * after for before, after in pairwise(widths))
            for widths in (linear, (prod(image), *_DISCRIMINATOR, 1))
        )
        return MultiplyAdds(generator + convolutions, discriminator)
