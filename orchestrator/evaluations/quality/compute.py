"""Metrics of samples from a latent distribution against the training images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orchestrator.data.ranges import to_bytes
from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
from orchestrator.evaluations.inputs.sampling import images_of, sizes_of, truncated_normal

if TYPE_CHECKING:
    from orchestrator.evaluations.quality.settings import Quality


def compute(settings: Quality, model: TrainedModel, shard: int) -> ShardResult:
    """The row of one distribution of latent vectors."""
    features = model.sample_metrics.features
    problem = settings.reject_images(model.settings.data, model.splits)
    if problem or features is None:
        raise DataError(f"{settings.kind}: {problem or settings.classless(model.settings.data)}")
    threshold = settings.truncation[shard - 1] if shard else None
    metrics = model.sample_metrics.full(_sample(settings, model, threshold))
    row = {"truncation": threshold, "samples": settings.samples, "features": features, **metrics._asdict()}
    return ShardResult([row])


def _sample(settings: Quality, model: TrainedModel, threshold: float | None) -> Tensor:
    """Generated images (samples, c, h, w) uint8."""
    source = torch.Generator().manual_seed(settings.seed)
    limit = math.inf if threshold is None else threshold
    batches: list[Tensor] = []
    for size in sizes_of(settings.samples):
        latents = truncated_normal((size, model.settings.latent_dim), limit, source)
        batches += map(to_bytes, images_of(model, latents))
    return torch.cat(batches)
