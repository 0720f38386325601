"""Layers that several pairs of networks share.

Convolutions from and to a single pixel are computed as matrix products. Parameters and results are those of torch's
convolutions; oneDNN and cuDNN take several times as long for such shapes.
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
    """Sets a share of its inputs to 0 and scales the others by 1 / (1 - share), in training.

    Srivastava et al., JMLR 15 (2014). torch's Dropout draws from the global generator, which is not part of a trial's
    state. Here ``generator``, on the inputs' device, must be set before training: see ``set_generator``.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of any shape; unchanged in eval mode."""
        if self.share == 0 or not self.training:
            return inputs
        assert self.generator is not None, "dropout has no generator to draw from"
        mask = torch.empty_like(inputs).bernoulli_(1 - self.share, generator=self.generator)
        return inputs * mask / (1 - self.share)


class Noise(nn.Module):
    """Adds Gaussian noise of standard deviation share * deviation to its inputs in training, drawn at every pass.

    ``set_noise`` sets ``share``; ``generator`` is as for ``Dropout``. A GPU reads the deviation from its own memory,
    so that passes of different deviations are the same operations, as long as there is noise at all.
    """

    scale: Tensor

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation, self.share = deviation, 1.0
        self.register_buffer("scale", torch.tensor(deviation), persistent=False)
        self.generator: torch.Generator | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of any shape; unchanged in eval mode."""
        deviation = self.deviation * self.share
        if deviation == 0 or not self.training:
            return inputs
        assert self.generator is not None, "noise has no generator to draw from"
        noise = torch.empty_like(inputs)
        if inputs.device.type == "cpu":
            return inputs + noise.normal_(0.0, deviation, generator=self.generator)
        return inputs + noise.normal_(generator=self.generator).mul_(self.scale)


def set_generator(network: nn.Module, generator: torch.Generator) -> None:
    """Let the network's dropout and noise draw from ``generator``."""
    for module in network.modules():
        if isinstance(module, Dropout | Noise):
            module.generator = generator


def draws(network: nn.Module) -> bool:
    """Whether the network's passes draw random numbers while it trains."""
    dropouts = any(module.share > 0 for module in network.modules() if isinstance(module, Dropout))
    return dropouts or any(module.deviation > 0 for module in network.modules() if isinstance(module, Noise))


def set_noise(network: nn.Module, share: float) -> None:
    """Scale the standard deviation of all of the network's noise by ``share`` in [0, 1]."""
    for module in network.modules():
        if isinstance(module, Noise) and module.share != share:
            module.share = share
            module.scale.fill_(module.deviation * share)


class Discriminator(nn.Module):
    """A network that scores: ``body`` maps images to features, ``head`` maps features to raw scores (n,).

    The body's inputs are images with instance noise: Sonderby et al., arXiv 1610.04490, and Arjovsky and Bottou, arXiv
    1701.04862, section 3. The head's inputs are features with noise and dropout; the features in the output have
    neither.
    """

    def __init__(self, body: nn.Module, head: nn.Module, noise: NoiseSettings) -> None:
        super().__init__()
        self.body = body
        self.instance_noise, self.feature_noise, self.dropout = noise_layers(noise)
        self.head = head

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        """Scores and features of images (n, c, h, w)."""
        features = self.body(self.instance_noise(images))
        return DiscriminatorOutput(self.head(self.dropout(self.feature_noise(features))), features.flatten(1))


def noise_layers(noise: NoiseSettings) -> tuple[Noise, Noise, Dropout]:
    """Noise on images, noise on features, and dropout of features."""
    return Noise(noise.instance_noise), Noise(noise.feature_noise), Dropout(noise.dropout)


class FromLatent(nn.ConvTranspose2d):
    """Latent vectors (n, latent_dim) to feature maps (n, maps, h, w): a transposed convolution of one pixel."""

    def __init__(self, latent_dim: int, maps: int, sides: tuple[int, int], *, bias: bool) -> None:
        super().__init__(latent_dim, maps, sides, bias=bias)

    def forward(self, latents: Tensor) -> Tensor:  # type: ignore[override]
        """One matrix product; the maps are channels last in memory, the layout of the next convolution."""
        weight = self.weight  # read once: spectral norm computes it at every access
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
        """One matrix product of the images' features with the weights."""
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
    """Linear layers between vectors of these widths, each with its norm and an activation, and dropout between two.

    A norm acts on maps of one pixel: ``distributed.batch_norm`` synchronizes batch norm of maps only.
    """
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        norms = norm(after)
        dropouts = [Dropout(dropout)] if number > 0 else []
        bias = not any(isinstance(layer, nn.BatchNorm2d) for layer in norms)
        norms_of_maps = [nn.Unflatten(1, (after, 1, 1)), *norms, nn.Flatten()] if norms else []
        layers += [*dropouts, nn.Linear(before, after, bias=bias), *norms_of_maps, activation()]
    return layers
