"""Convolutions of stride 2 down from an image, and transposed ones up to it, as in DCGAN: arXiv 1511.06434."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from orchestrator.models._layers import FromLatent
from orchestrator.models._sides import area, kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.models._sides import Sides

    Norm = Callable[[int], list[nn.Module]]


def upward(latent_dim: int, widths: Sequence[int], sides: Sequence[Sides], norm: Norm) -> nn.Sequential:
    """Latent vectors (n, latent_dim) to images in [-1, 1], by a linear layer and transposed convolutions.

    ``widths`` and ``sides`` are those of the maps, from the image itself inwards. A norm and ReLU follow each layer but
    the last.
    """
    layers: list[nn.Module] = [
        FromLatent(latent_dim, widths[-1], sides[-1], bias=not norm(1)),
        *norm(widths[-1]),
        nn.ReLU(inplace=True),
    ]
    for stage in range(len(widths) - 2, 0, -1):
        layers += [
            nn.ConvTranspose2d(widths[stage + 1], widths[stage], kernel(sides[stage]), 2, 1, bias=not norm(1)),
            *norm(widths[stage]),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[1], widths[0], kernel(sides[0]), 2, 1), nn.Tanh())


def downward(widths: Sequence[int], sides: Sequence[Sides], norm: Norm, *, first: Norm) -> list[nn.Module]:
    """Images to the innermost maps, by convolutions with LeakyReLU; the norm next to the image is ``first``.

    A convolution has no bias where batch norm would subtract it again.
    """
    layers: list[nn.Module] = []
    for stage in range(len(widths) - 1):
        norms = (norm if stage else first)(widths[stage + 1])
        bias = not any(isinstance(layer, nn.BatchNorm2d) for layer in norms)
        layers += [
            nn.Conv2d(widths[stage], widths[stage + 1], kernel(sides[stage]), 2, 1, bias=bias),
            *norms,
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return layers


def encoder(widths: Sequence[int], sides: Sequence[Sides], latent_dim: int, norm: Norm) -> nn.Sequential:
    """Images in [-1, 1] to latent vectors (n, latent_dim): ``downward``, then one linear layer."""
    linear = nn.Linear(widths[-1] * area(sides[-1]), latent_dim)
    return nn.Sequential(*downward(widths, sides, norm, first=norm), nn.Flatten(), linear)
