"""Reconstructions of images from their latent vectors, and their metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.data._tiles import tiled
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.inputs.image_batch import choose
from orchestrator.evaluations.latent_search.inverted import generate, image_columns, latents_of, quality_columns
from orchestrator.evaluations.latent_search.kept import kept_columns, typicality_columns
from orchestrator.evaluations.reconstruction.settings import SHOWN
from orchestrator.metrics.image_quality import sharpness

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch
    from orchestrator.evaluations.reconstruction.settings import Reconstruction


def compute(settings: Reconstruction, model: TrainedModel, shard: int) -> ShardResult:
    """The images of one shard; the first shard also has a picture: images above, reconstructions below."""
    batch = choose(settings, model, shard)
    reconstructions = reconstruct(settings, model, batch)
    method = "search" if model.encoder is None else "encoder"
    pictures = {} if shard else {"gallery": tiled(torch.stack([batch.images, reconstructions])[:, :SHOWN])}
    return ShardResult(rows_of(model, batch, reconstructions, method), pictures=pictures)


def reconstruct(settings: Reconstruction, model: TrainedModel, batch: ImageBatch) -> Tensor:
    """Reconstructions (n, c, h, w), nominally in [0, 1]."""
    return generate(model, latents_of(settings, model, batch, settings.seed))


def rows_of(model: TrainedModel, batch: ImageBatch, reconstructions: Tensor, method: str) -> list[dict[str, Any]]:
    """A row an image."""
    metrics: dict[str, list[Any]] = {
        **quality_columns(reconstructions, batch.images),
        **kept_columns(model, batch, reconstructions),
    }
    ratios = (sharpness(reconstructions.clamp(0, 1)) / sharpness(batch.images)).tolist()
    metrics["sharpness"] = [ratio if math.isfinite(ratio) else None for ratio in ratios]
    return [
        {**columns, **typical, "method": method, **{name: values[image] for name, values in metrics.items()}}
        for image, (columns, typical) in enumerate(
            zip(image_columns(batch), typicality_columns(model, batch), strict=True)
        )
    ]
