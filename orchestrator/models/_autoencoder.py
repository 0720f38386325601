"""A discriminator that is an autoencoder: the score of an image is its reconstruction error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.models._layers import FromLatent, noise_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.models._sides import Sides
    from orchestrator.models.pair import NoiseSettings

    Norm = Callable[[int], list[nn.Module]]


class Autoencoder(nn.Module):
    """``encoder`` maps images to codes (n, h), ``decoder`` maps codes to images.

    The score of an image is the error against the image with instance noise, as any other discriminator sees only the
    noisy image. An error against the clean image would separate the distributions that the noise is to overlap. The
    decoder's input is the codes with feature noise and dropout.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        reconstruction: Literal["l1", "l2"],
        noise: NoiseSettings,
    ) -> None:
        super().__init__()
        self.instance_noise, self.feature_noise, self.dropout = noise_layers(noise)
        self.encoder, self.decoder = encoder, decoder
        self.reconstruction = reconstruction

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        """Each image's mean absolute (l1) or squared (l2) error over c, h, w, and its code; images (n, c, h, w)."""
        images = self.instance_noise(images)
        codes = self.encoder(images)
        # At least single precision: BEGAN compares errors that differ little.
        wide = torch.promote_types(images.dtype, torch.float32)
        difference = images.to(wide) - self.decoder(self.dropout(self.feature_noise(codes)))
        errors = difference.abs() if self.reconstruction == "l1" else difference.square()
        return DiscriminatorOutput(errors.flatten(1).mean(1), codes)

    def reconstruct(self, images: Tensor) -> Tensor:
        """The reconstructions, in [-1, 1], of images (n, c, h, w)."""
        return self.decoder(self.encoder(images))  # type: ignore[no-any-return]


def encoder(
    channels: int, width: int, sides: Sequence[Sides], code_dim: int, *, pooling: Literal["stride", "max"], norm: Norm
) -> nn.Sequential:
    """Images to codes: two convolutions at each of ``sides``, with ``width`` more maps at each than at the one before.

    Sides are halved by convolutions of stride 2, or by max pooling over 2x2.
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1), nn.ELU(inplace=True)]
    maps = width
    for stage in range(1, len(sides) + 1):
        after = stage * width
        layers += [*convolution(maps, after, norm), *convolution(after, after, norm)]
        maps = after
        if stage == len(sides):
            break
        if pooling == "max":
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            maps += width
            layers += convolution(after, maps, norm, stride=2)
    height, breadth = sides[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps * height * breadth, code_dim))


def decoder(code_dim: int, width: int, sides: Sequence[Sides], channels: int, norm: Norm) -> nn.Sequential:
    """Codes to images in [-1, 1]: two convolutions at each of ``sides`` from the last on, and nearest upsampling."""
    layers: list[nn.Module] = [FromLatent(code_dim, width, sides[-1], bias=True)]
    for stage in range(len(sides) - 1, -1, -1):
        layers += [*convolution(width, width, norm), *convolution(width, width, norm)]
        if stage > 0:
            layers.append(nn.Upsample(size=sides[stage - 1], mode="nearest"))
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh())


def convolution(before: int, after: int, norm: Norm, stride: int = 1) -> list[nn.Module]:
    """A 3x3 convolution, its norm and ELU; without a bias if batch norm would subtract it again."""
    norms = norm(after)
    bias = not any(isinstance(layer, nn.BatchNorm2d) for layer in norms)
    return [nn.Conv2d(before, after, 3, stride, 1, bias=bias), *norms, nn.ELU(inplace=True)]
