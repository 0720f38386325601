"""Layers that several pairs of networks are made of.

Convolutions from and to a single pixel are computed as the matrix products that they are. Parameters and results are
those of torch's convolutions; oneDNN and cuDNN take several times as long for such shapes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from orchestrator.discriminator_output import DiscriminatorOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.models.pair import NoiseSettings


class Dropout(nn.Module):
    """Sets a share of its inputs to 0 and scales the rest up, in training: Srivastava et al., JMLR 15 (2014).

    torch's own draws from the global generator, which is no part of a trial's state: ``generator``, on the inputs'
    device, is to be set before training, see ``set_generator``.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of any shape; in evaluation as they are."""
        if self.share == 0 or not self.training:
            return inputs
        assert self.generator is not None, "dropout has no generator to draw from"
        kept = torch.empty_like(inputs).bernoulli_(1 - self.share, generator=self.generator)
        return inputs * kept / (1 - self.share)


class Noise(nn.Module):
    """Adds Gaussian noise of a standard deviation to its inputs in training, drawn anew at every pass.

    ``share`` is what is left of the deviation, see ``set_noise``; ``generator`` is as for ``Dropout``.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation, self.share = deviation, 1.0
        self.generator: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of any shape; in evaluation as they are."""
        deviation = self.deviation * self.share
        if deviation == 0 or not self.training:
            return inputs
        assert self.generator is not None, "noise has no generator to draw from"
        return inputs + torch.empty_like(inputs).normal_(0.0, deviation, generator=self.generator)


def set_generator(network: nn.Module, generator: torch.Generator) -> None:
    """What the network draws while it trains comes from ``generator``."""
    for module in network.modules():
        if isinstance(module, Dropout | Noise):
            module.generator = generator


def set_noise(network: nn.Module, share: float) -> None:
    """Leave of all the network's noise a ``share`` in [0, 1] of its deviation."""
    for module in network.modules():
        if isinstance(module, Noise):
            module.share = share


class Discriminator(nn.Module):
    """A network that scores: ``body`` maps images to features, ``head`` maps features to raw scores (n,).

    The body sees images with instance noise, Sonderby et al., arXiv 1610.04490, and Arjovsky and Bottou, arXiv
    1701.04862, section 3. The head sees features with noise, less the share of dropout; those in the judgement are
    without either.
    """

    def __init__(self, body: nn.Module, head: nn.Module, disturbance: NoiseSettings) -> None:
        super().__init__()
        self.body = body
        self.instance_noise, self.feature_noise, self.dropout = layers_of(disturbance)
        self.head = head

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        """Scores and features of images (n, c, h, w)."""
        features = self.body(self.instance_noise(images))
        return DiscriminatorOutput(self.head(self.dropout(self.feature_noise(features))), features.flatten(1))


def layers_of(disturbance: NoiseSettings) -> tuple[Noise, Noise, Dropout]:
    """Noise on images, noise on features, and what leaves features out."""
    return Noise(disturbance.instance_noise), Noise(disturbance.feature_noise), Dropout(disturbance.dropout)


class FromLatent(nn.ConvTranspose2d):
    """Latent vectors (n, latent_dim) to feature maps (n, maps, h, w): a transposed convolution of one pixel."""

    def __init__(self, latent_dim: int, maps: int, sides: tuple[int, int], *, bias: bool) -> None:
        super().__init__(latent_dim, maps, sides, bias=bias)

    def forward(self, latents: Tensor) -> Tensor:  # type: ignore[override]
        """One product; the maps come channels last in memory, as the next convolution wants them."""
        weight = self.weight  # read once: spectral norm computes it at every reading
        latent_dim, maps, height, width = weight.shape
        weight = weight.permute(0, 2, 3, 1).reshape(latent_dim, -1)
        maps_last = (latents @ weight).view(-1, height, width, maps)
        if self.bias is not None:
            maps_last = maps_last + self.bias
        return maps_last.permute(0, 3, 1, 2)


class ToScore(nn.Conv2d):
    """Feature maps (n, maps, h, w) to raw scores (n,): a convolution as large as the maps."""

    def __init__(self, maps: int, sides: tuple[int, int]) -> None:
        super().__init__(maps, 1, sides)

    def forward(self, features: Tensor) -> Tensor:
        """One product of each image's features with the weights."""
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return nn.functional.linear(features.permute(0, 2, 3, 1).flatten(1), weight, self.bias).squeeze(1)


class ToScoreOfVector(nn.Linear):
    """Feature vectors (n, f) to raw scores (n,)."""

    def __init__(self, features: int) -> None:
        super().__init__(features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """One score for each vector."""
        return super().forward(features).squeeze(1)


def connected(
    widths: Sequence[int], norm: Callable[[int], list[nn.Module]], activation: Callable[[], nn.Module], dropout: float
) -> list[nn.Module]:
    """Linear layers between vectors of these widths, each with its norm, an activation and, between two, dropout.

    A norm acts on maps of one pixel: ``distributed.batch_norm`` knows batch norm of maps.
    """
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        norms = norm(after)
        between = [Dropout(dropout)] if number > 0 else []
        bias = not any(isinstance(layer, nn.BatchNorm2d) for layer in norms)
        on_maps = [nn.Unflatten(1, (after, 1, 1)), *norms, nn.Flatten()] if norms else []
        layers += [*between, nn.Linear(before, after, bias=bias), *on_maps, activation()]
    return layers
