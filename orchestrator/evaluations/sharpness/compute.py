"""Sharpness and grain of samples and of training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from orchestrator.data.ranges import to_unit, unit_from_bytes
from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
from orchestrator.evaluations.inputs.sampling import images_of, sizes_of
from orchestrator.metrics.grain import pixelation, salt_and_pepper
from orchestrator.metrics.image_quality import sharpness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from orchestrator.evaluations.sharpness.settings import Sharpness

_METRICS = (sharpness, salt_and_pepper, pixelation)


def compute(settings: Sharpness, model: TrainedModel, shard: int) -> ShardResult:
    """The only row."""
    source = torch.Generator().manual_seed(settings.seed)
    draws = (torch.randn(size, model.settings.latent_dim, generator=source) for size in sizes_of(settings.samples))
    generated = _means(to_unit(images) for latents in draws for images in images_of(model, latents))
    pixels = torch.from_numpy(model.real.drawn(settings.samples).pixels)
    real = _means(unit_from_bytes(part) for part in torch.split(pixels, 256))
    row = {
        "samples": settings.samples,
        "sharpness": generated[0],
        "real": real[0],
        "ratio": generated[0] / real[0] if real[0] else None,
        "salt_and_pepper": generated[1],
        "salt_and_pepper_real": real[1],
        "pixelation": generated[2],
        "pixelation_real": real[2],
    }
    return ShardResult([row])


def _means(batches: Iterable[Tensor]) -> list[float]:
    """The mean of each metric over images in [0, 1]."""
    values = [torch.stack([metric(images) for metric in _METRICS]) for images in batches]
    return [float(mean) for mean in torch.cat(values, 1).mean(1)]
