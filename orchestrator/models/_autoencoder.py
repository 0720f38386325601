"""An autoencoder that judges images by how well it reconstructs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.models._layers import FromLatent, layers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.models._sides import Sides
    from orchestrator.models.pair import NoiseSettings

    Norm = Callable[[int], list[nn.Module]]


class Autoencoder(nn.Module):
    """``encoder`` maps images to codes (n, h), ``decoder`` maps codes to images.

    An image with instance noise is what is judged: its reconstruction is held against it, noise and all, as any other
    discriminator knows nothing but what the noise has left. Held against the image before, an error would tell apart
    what the noise is to bring together. The decoder sees codes with feature noise, less the share of dropout.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        reconstruction: Literal["l1", "l2"],
        disturbance: NoiseSettings,
    ) -> None:
        super().__init__()
        self.instance_noise, self.feature_noise, self.dropout = layers_of(disturbance)
        self.encoder, self.decoder = encoder, decoder
        self.reconstruction = reconstruction

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        """Each image's mean absolute (l1) or squared (l2) error over c, h, w, and its code; images (n, c, h, w)."""
        images = self.instance_noise(images)
        codes = self.encoder(images)
        # In single precision at least: BEGAN compares errors that differ little.
        wide = torch.promote_types(images.dtype, torch.float32)
        error = images.to(wide) - self.decoder(self.dropout(self.feature_noise(codes)))
        each = error.abs() if self.reconstruction == "l1" else error.square()
        return DiscriminatorOutput(each.flatten(1).mean(1), codes)

    def reconstruct(self, images: Tensor) -> Tensor:
        """What becomes of images (n, c, h, w) on their way through the code, in [-1, 1]."""
        return self.decoder(self.encoder(images))  # type: ignore[no-any-return]


def encoder(
    channels: int, width: int, sides: Sequence[Sides], code_dim: int, *, pooling: Literal["stride", "max"], norm: Norm
) -> nn.Sequential:
    """Images to codes: two convolutions at each of ``sides``, and ``width`` more maps at each than at the one before.

    Sides are halved by convolutions of stride 2, or by taking the largest of 2x2.
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
    """Codes to images in [-1, 1]: two convolutions at each of ``sides`` from the last on, nearest neighbours put in."""
    layers: list[nn.Module] = [FromLatent(code_dim, width, sides[-1], bias=True)]
    for stage in range(len(sides) - 1, -1, -1):
        layers += [*convolution(width, width, norm), *convolution(width, width, norm)]
        if stage > 0:
            layers.append(nn.Upsample(size=sides[stage - 1], mode="nearest"))
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh())


def convolution(before: int, after: int, norm: Norm, stride: int = 1) -> list[nn.Module]:
    """A 3x3 convolution, its norm and ELU; no bias where batch norm would take it away again."""
    norms = norm(after)
    bias = not any(isinstance(layer, nn.BatchNorm2d) for layer in norms)
    return [nn.Conv2d(before, after, 3, stride, 1, bias=bias), *norms, nn.ELU(inplace=True)]
