"""Sharpness of samples and of training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from orchestrator.data.ranges import to_unit, unit_from_bytes
from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
from orchestrator.evaluations.inputs.sampling import images_of, sizes_of
from orchestrator.metrics.image_quality import sharpness

if TYPE_CHECKING:
    from orchestrator.evaluations.sharpness.settings import Sharpness


def compute(settings: Sharpness, model: TrainedModel, shard: int) -> ShardResult:
    """The only row."""
    source = torch.Generator().manual_seed(settings.seed)
    draws = (torch.randn(size, model.settings.latent_dim, generator=source) for size in sizes_of(settings.samples))
    values = [sharpness(to_unit(images)) for latents in draws for images in images_of(model, latents)]
    pixels = torch.from_numpy(model.real.drawn(settings.samples).pixels)
    real = float(torch.cat([sharpness(unit_from_bytes(part)) for part in torch.split(pixels, 256)]).mean())
    generated = float(torch.cat(values).mean())
    ratio = generated / real if real else None
    row = {"samples": settings.samples, "sharpness": generated, "real": real, "ratio": ratio}
    return ShardResult([row])
