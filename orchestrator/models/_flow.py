"""The network of Glow, Kingma and Dhariwal, arXiv 1807.03039: a bijection of images and latents of the same size."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from orchestrator.models._flow_cost import flow_stages
from orchestrator.models._flow_layers import (
    ActNorm,
    AffineCoupling,
    InvertibleConvolution,
    Split,
    squeeze,
    unsqueeze,
)

if TYPE_CHECKING:
    from orchestrator.data.images import ImageShape

_BINS = 256
"""Values of a byte: the bins that the unit interval of a flow's images is divided into."""


class Step(nn.Module):
    """One step of the flow, figure 2a: an actnorm, an invertible 1x1 convolution and an affine coupling."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.mix = InvertibleConvolution(channels)
        self.couple = AffineCoupling(channels, width)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, c, h, w) to maps of the same shape, and the log determinant (n,)."""
        log_det = inputs.new_zeros(len(inputs))
        for layer in (self.norm, self.mix, self.couple):
            inputs, change = layer(inputs)
            log_det = log_det + change
        return inputs, log_det

    def inverse(self, outputs: Tensor) -> Tensor:
        """The inputs of ``forward``."""
        return self.norm.inverse(self.mix.inverse(self.couple.inverse(outputs)))


class Flow(nn.Module):
    """``levels`` times: 2x2 pixels become channels, ``steps`` steps follow, and half of the channels become latents.

    The maps after the last level are latents too. All latents are standard normal under the model. They are c h w
    numbers, as many as an image has: the flattened (c, h, w) parts of the levels, in order. Images that are encoded and
    decoded are dequantized bytes, (byte + u) / 256 - 0.5 with noise u in [0, 1): see ``dequantize``. ``width`` is the
    number of maps within a coupling. An image's sides must be multiples of 2^levels.
    """

    def __init__(self, shape: ImageShape, levels: int, steps: int, width: int) -> None:
        super().__init__()
        stages = flow_stages(shape, levels)
        self.levels = nn.ModuleList(
            nn.ModuleList(Step(stage.channels, width) for _ in range(steps)) for stage in stages
        )
        self.splits = nn.ModuleList(Split(stage.channels) for stage in stages[:-1])
        self._last = stages[-1]

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, c, h, w), nominally in [-0.5, 0.5), to latents (n, c h w) and log |det d latents / d images| (n,).

        The log determinant has at least single precision if images and weights do.
        """
        return self._encode(images, fit=False)

    def decode(self, latents: Tensor) -> Tensor:
        """The images of latents (n, c h w): the inverse of ``encode``."""
        sizes = [latents.shape[1] // 2 ** (level + 1) for level in range(len(self.splits))]
        *split_latents, last = torch.split(latents, [*sizes, latents.shape[1] - sum(sizes)], 1)
        maps = _as_maps(last, self._last)
        for level, (steps, split) in reversed(list(enumerate(self._stages()))):
            if split is not None:
                maps = split.inverse(maps, split_latents[level].reshape(maps.shape))
            for step in reversed(steps):
                maps = step.inverse(maps)
            maps = unsqueeze(maps)
        return maps

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (n, c h w) to images (n, c, h, w) nominally in [-1, 1], as for other generators.

        ((y + 0.5) 256 - 0.5) / 127.5 - 1 for an image y of ``decode``: a byte's value is the middle of its bin.
        """
        return ((self.decode(latents) + 0.5) * _BINS - 0.5) / 127.5 - 1

    def code(self, images: Tensor) -> Tensor:
        """The latents (n, c h w) of images of bytes in [-1, 1]: the inverse of ``forward``, at the middle of bins."""
        return self.encode(dequantize(images, torch.full_like(images, 0.5)))[0]

    @torch.no_grad()
    def fit_actnorms(self, images: Tensor) -> None:
        """Fit the actnorms, one after the other, to their inputs for these images, which are as for ``encode``.

        Call it once, before training: section 3.1.
        """
        self._encode(images, fit=True)

    def init_weights(self, generator: torch.Generator) -> None:
        """Draw all weights anew from ``generator`` (on the CPU): equal generators give equal weights.

        Rotations for 1x1 convolutions, N(0, 0.05) for the first two convolutions of a coupling. Actnorms are the
        identity and the last convolutions zeros, so that a coupling's scale does not depend on its inputs.
        """
        for module in self.modules():
            if isinstance(module, ActNorm | InvertibleConvolution | AffineCoupling | Split):
                module.init_weights(generator)

    def _stages(self) -> list[tuple[list[Step], Split | None]]:
        """Each level's steps and its split; the last one has none."""
        levels, splits = cast("list[list[Step]]", self.levels), cast("list[Split]", self.splits)
        return [(list(steps), split) for steps, split in zip_longest(levels, splits)]

    def _encode(self, images: Tensor, *, fit: bool) -> tuple[Tensor, Tensor]:
        maps, parts = images, []
        log_det = images.new_zeros(len(images))
        for steps, split in self._stages():
            maps = squeeze(maps)
            for step in steps:
                if fit:
                    step.norm.fit(maps)
                maps, change = step(maps)
                log_det = log_det + change
            if split is not None:
                maps, latents, change = split(maps)
                parts.append(latents.flatten(1))
                log_det = log_det + change
        return torch.cat([*parts, maps.flatten(1)], 1), log_det


def dequantize(images: Tensor, noise: Tensor) -> Tensor:
    """A flow's inputs (byte + noise) / 256 - 0.5, from images of bytes in [-1, 1], which are byte / 127.5 - 1.

    ``noise`` has the images' shape and is uniform in [0, 1). With it, a density of real numbers is a lower bound of the
    probability of bytes: Theis et al., arXiv 1511.01844, section 3.1.
    """
    return (((images + 1) * 127.5).round() + noise) / _BINS - 0.5


def bits_per_dimension(latents: Tensor, log_det: Tensor) -> Tensor:
    """Bits per dimension of each image (n,), from the latents and the log determinant that ``Flow.encode`` returns.

    -(log N(latents; 0, I) + log_det - D ln 256) / (D ln 2), with D the numbers of an image; at least single precision.
    For dequantized images, its mean is an upper bound of the bits per number of the best code of the bytes under the
    model: Theis et al., arXiv 1511.01844, section 3.1.
    """
    wide = torch.promote_types(torch.promote_types(latents.dtype, log_det.dtype), torch.float32)
    dimensions = latents.shape[1]
    log_normal = -0.5 * (latents.to(wide).square().sum(1) + dimensions * math.log(2 * math.pi))
    return -(log_normal + log_det - dimensions * math.log(_BINS)) / (dimensions * math.log(2))


def _as_maps(latents: Tensor, shape: ImageShape) -> Tensor:
    """Latents (n, c h w) as maps (n, c, h, w), channels last in memory."""
    return latents.reshape(-1, *shape).contiguous(memory_format=torch.channels_last)
