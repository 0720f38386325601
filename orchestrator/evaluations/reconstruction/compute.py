"""Images from their latent vectors, measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.data._tiles import tiled
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.image_batch import choose
from orchestrator.evaluations.latent_search.inverted import latents_of, made, measured, told_of
from orchestrator.evaluations.reconstruction.settings import SHOWN
from orchestrator.metrics.image_quality import sharpness

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.image_batch import ImageBatch
    from orchestrator.evaluations.reconstruction.settings import Reconstruction


def compute(settings: Reconstruction, model: TrainedModel, shard: int) -> ShardResult:
    """The images of one part, and of the first part a picture: images above, what came back below."""
    batch = choose(settings, model, shard)
    back = reconstruct(settings, model, batch)
    method = "search" if model.encoder is None else "encoder"
    pictures = {} if shard else {"gallery": tiled(torch.stack([batch.images, back])[:, :SHOWN])}
    return ShardResult(rows_of(batch, back, method), pictures=pictures)


def reconstruct(settings: Reconstruction, model: TrainedModel, batch: ImageBatch) -> Tensor:
    """What comes back of images (n, c, h, w), nominally in [0, 1]."""
    return made(model, latents_of(settings, model, batch, settings.seed))


def rows_of(batch: ImageBatch, back: Tensor, method: str) -> list[dict[str, Any]]:
    """A row an image."""
    figures: dict[str, list[Any]] = {**measured(back, batch.images)}
    ratios = (sharpness(back.clamp(0, 1)) / sharpness(batch.images)).tolist()
    figures["sharpness"] = [ratio if math.isfinite(ratio) else None for ratio in ratios]
    return [
        {**told, "method": method, **{name: values[place] for name, values in figures.items()}}
        for place, told in enumerate(told_of(batch))
    ]
