"""The small pair of experiment A2: four layers each, fixed widths, 28x28 images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.models.model import Layers, MultiplyAdds, NetworkLayers
from orchestrator.models.pair import Pair

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape


class SmallDcgan(Pair):
    """Generator of 256-128-64-c transposed convolutions, discriminator of 28-56-112-1 convolutions, LeakyReLU 0.2.

    Sides of the feature maps: 4, 7, 14, 28 up and 14, 7, 4, 1 down.
    """

    kind: Literal["small_dcgan"]

    def reject(self, image: ImageShape) -> str | None:  # noqa: D102
        if (image.height, image.width) != (28, 28):
            return f"small_dcgan makes 28x28 images, the data's are {image.height}x{image.width}"
        return None

    def generator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import FromLatent

        bias = not self.normalizes
        return nn.Sequential(
            FromLatent(self.latent_dim, 256, (4, 4), bias=bias),
            *self.norm(256),
            nn.LeakyReLU(0.2, inplace=True),
            nn.ConvTranspose2d(256, 128, 3, 2, 1, bias=bias),
            *self.norm(128),
            nn.LeakyReLU(0.2, inplace=True),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=bias),
            *self.norm(64),
            nn.LeakyReLU(0.2, inplace=True),
            nn.ConvTranspose2d(64, image.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def discriminator(self, image: ImageShape) -> nn.Module:  # noqa: D102
        from torch import nn

        from orchestrator.models._layers import Discriminator, ToScore

        bias = not self.d_normalizes
        body = nn.Sequential(
            nn.Conv2d(image.channels, 28, 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(28, 56, 4, 2, 1, bias=bias),
            *self.d_norm(56),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(56, 112, 3, 2, 1, bias=bias),
            *self.d_norm(112),
            nn.LeakyReLU(0.2, inplace=True),
        )
        return Discriminator(body, ToScore(112, (4, 4)), self.noise_settings)

    def network_layers(self, image: ImageShape) -> NetworkLayers:  # noqa: D102
        return NetworkLayers(Layers(4, self.norms(3)), Layers(4, self.d_norms(2)))

    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:  # noqa: D102
        # Kernel area x maps in x maps out x positions of the smaller map, layer by layer.
        generator = (
            16 * self.latent_dim * 256 + 9 * 256 * 128 * 16 + 16 * 128 * 64 * 49 + 16 * 64 * image.channels * 196
        )
        discriminator = 16 * image.channels * 28 * 196 + 16 * 28 * 56 * 49 + 9 * 56 * 112 * 16 + 16 * 112
        return MultiplyAdds(generator, discriminator)
