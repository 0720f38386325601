"""Latent vectors of an evaluation and the images generated from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch

from orchestrator.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn

BATCH = 256
"""Latent vectors of one pass through the generator."""


class Generates(Protocol):
    """What images are drawn from: a trial's generator, in eval mode on its device."""

    @property
    def trial_id(self) -> str:
        """The trial's id."""

    @property
    def generator(self) -> nn.Module:
        """(n, latent_dim) to (n, c, h, w) in [-1, 1]."""

    @property
    def device(self) -> torch.device:
        """Where it is."""


def sizes_of(samples: int) -> Iterator[int]:
    """Sizes of the batches of ``samples`` latent vectors: a flow's are as large as images, too many to hold."""
    for first in range(0, samples, BATCH):
        yield min(BATCH, samples - first)


def truncated_normal(size: Sequence[int], threshold: float, generator: torch.Generator) -> Tensor:
    """Numbers (*size,) float32 of the standard normal distribution given that they lie in [-threshold, threshold].

    The inverse of the distribution function, in double precision: x = sqrt(2) erfinv(u erf(threshold / sqrt(2))) for u
    uniform in (-1, 1). Equal generators give the same u for each threshold, including infinity, so that thresholds are
    compared on the same draws. BigGAN's truncation trick (arXiv 1809.11096, section 3.1) redraws numbers outside, which
    has the same distribution.
    """
    assert threshold > 0, threshold
    # Multiples of 2^-52, half a step away from both ends: the inverse is infinite there.
    uniform = torch.rand(*size, dtype=torch.float64, generator=generator).mul_(2).sub_(1 - 2.0**-53)
    numbers = torch.erfinv(uniform.mul_(math.erf(threshold / math.sqrt(2)))).mul_(math.sqrt(2))
    return numbers.clamp_(-threshold, threshold).float()


def draw_latents(sizes: Iterable[int], latent_dim: int, limit: float, source: torch.Generator) -> Iterator[Tensor]:
    """Batches (size, latent_dim) of ``truncated_normal`` latent vectors; a limit of infinity is N(0, I)."""
    for size in sizes:
        yield truncated_normal((size, latent_dim), limit, source)


@torch.no_grad()
def images_of(model: Generates, latents: Tensor) -> Iterator[Tensor]:
    """The images of latent vectors (n, latent_dim), in order, in batches (b, c, h, w) in [-1, 1] on its device.

    Raises EvaluationError if the images are not finite.
    """
    for batch in torch.split(latents, BATCH):
        yield finite(model, model.generator(batch.to(model.device)).float())


def finite(model: Generates, images: Tensor) -> Tensor:
    """The same images of the trial's generator. Raises EvaluationError if they are not finite."""
    if not images.isfinite().all():
        raise EvaluationError(f"the generator of trial {model.trial_id} makes images that are not finite")
    return images
