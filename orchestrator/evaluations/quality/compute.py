"""Metrics of samples from a latent distribution against the training and the held-out images."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.data._tiles import tiled
from orchestrator.data.ranges import to_bytes, unit_from_bytes
from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
from orchestrator.evaluations.inputs.sampling import BATCH, draw_latents, images_of, sizes_of
from orchestrator.evaluations.quality.recalibration import batch_norms, recalibrated
from orchestrator.evaluations.quality.settings import NEAREST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from orchestrator.evaluations.quality.settings import Quality
    from orchestrator.metrics.sample_quality import NearestImages

_RECALIBRATION_BATCHES = 16
"""Batches of BATCH latent vectors for running statistics: their error is that of 4,096 images."""
_DTYPES = {torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.float16: "fp16"}


def compute(settings: Quality, model: TrainedModel, shard: int) -> ShardResult:
    """The row of one distribution of latent vectors; the plain normal also has a picture."""
    problem = settings.reject_images(model.settings.data, model.splits)
    if problem is None and settings.features == "classifier" and model.classifier is None:
        problem = settings.classless(model.settings.data)
    if problem:
        raise DataError(f"{settings.kind}: {problem}")
    threshold = settings.truncation[shard - 1] if shard else None
    limit = math.inf if threshold is None else threshold
    if settings.statistics == "recalibrated":
        # A stream of its own, so that the samples' latent vectors are those of running statistics.
        source = torch.Generator().manual_seed(settings.seed + 2**32)
        sizes = [BATCH] * _RECALIBRATION_BATCHES
        latents = draw_latents(sizes, model.settings.latent_dim, limit, source)
        model = replace(model, generator=recalibrated(model.generator, (part.to(model.device) for part in latents)))
    metrics, nearest = model.sample_quality.measure(_samples(settings, model, limit))
    row = {
        "truncation": threshold,
        "samples": settings.samples,
        "features": model.sample_quality.features,
        **metrics._asdict(),
        **_provenance(settings, model),
    }
    return ShardResult([row], pictures={} if shard else {NEAREST: _picture(nearest)})


def _samples(settings: Quality, model: TrainedModel, limit: float) -> Iterator[Tensor]:
    """Batches of generated images (b, c, h, w) uint8."""
    source = torch.Generator().manual_seed(settings.seed)
    for latents in draw_latents(sizes_of(settings.samples), model.settings.latent_dim, limit, source):
        yield from map(to_bytes, images_of(model, latents))


def _provenance(settings: Quality, model: TrainedModel) -> dict[str, Any]:
    """What the generator computed with."""
    numbers = (tensor for tensor in _tensors(model.generator) if tensor.is_floating_point())
    dtype = next((tensor.dtype for tensor in numbers), None)
    return {
        "statistics": settings.statistics if batch_norms(model.generator) else None,
        "averaged": model.settings.training.g_ema > 0,
        "dtype": None if dtype is None else _DTYPES[dtype],
    }


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def _picture(nearest: NearestImages) -> bytes:
    """PNG: samples above, the training image nearest to each below."""
    return tiled(unit_from_bytes(torch.stack([nearest.samples, nearest.training])))
