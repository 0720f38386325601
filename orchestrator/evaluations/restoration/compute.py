"""Restoration of corrupted images by several methods, and their errors against the clean images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.inputs.image_batch import choose
from orchestrator.evaluations.latent_search.inverted import generate
from orchestrator.evaluations.latent_search.search import Targets, draw_starts, search
from orchestrator.evaluations.restoration.baselines import baseline
from orchestrator.evaluations.restoration.settings import SHOWN
from orchestrator.metrics.image_quality import mse, psnr, ssim

if TYPE_CHECKING:
    from orchestrator.data.corruptions import Corrupted, Corruption
    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch
    from orchestrator.evaluations.latent_search.norms import Norm
    from orchestrator.evaluations.restoration.settings import Mask, Restoration


class Attempt(NamedTuple):
    """The images restored by one method."""

    method: str
    norm: Norm | None
    mask: Mask | None
    images: Tensor
    """(n, c, h, w)"""
    losses: Tensor | None
    """(n,) of the best restart of a search."""


class Restored(NamedTuple):
    """The corrupted images and all attempts: as they are, each search, the baseline."""

    corrupted: Corrupted
    attempts: list[Attempt]


def compute(settings: Restoration, model: TrainedModel, shard: int) -> ShardResult:
    """The rows of one part of the images under one corruption; the first part also has a picture."""
    which, part = divmod(shard, HeldOutEvaluation.shards(settings, model.settings))
    batch, corruption = choose(settings, model, part), settings.corruptions[which]
    restored = restore(settings, model, batch, corruption)
    pictures = {} if part else {corruption.name: tiled(shown(batch.images, restored, SHOWN))}
    return ShardResult(rows_of(batch, corruption, restored), pictures=pictures)


def restore(settings: Restoration, model: TrainedModel, batch: ImageBatch, corruption: Corruption) -> Restored:
    """``Restoration`` under one corruption. Raises EvaluationError if generated images are not finite."""
    corrupted = corruption.apply(batch.images, batch.indices, settings.seed)
    everything = torch.ones_like(corrupted.observed)
    masks = settings.masks if not corrupted.observed.all() else settings.masks[:1]
    attempts = [Attempt("corrupted", None, None, corrupted.images, None)]
    for mask in masks:
        observed = corrupted.observed if mask == "known" else everything
        targets = Targets(corrupted.images, observed, batch.indices)
        starts = draw_starts(targets, settings.restarts, model.settings.latent_dim, settings.seed).to(batch.images)
        for norm in settings.norms:
            result = search(settings, model.generator, targets, starts, norm)
            losses = result.losses.take_along_dim(result.best[:, None], 1).squeeze(1)
            attempts.append(Attempt("search", norm, mask, generate(model, result.chosen), losses))
    name, images = baseline(corruption, corrupted)
    return Restored(corrupted, [*attempts, Attempt(name, None, None, images, None)])


def rows_of(batch: ImageBatch, corruption: Corruption, restored: Restored) -> list[dict[str, Any]]:
    """A row an image and attempt, image by image."""
    touched = restored.corrupted.touched
    edge, metrics = edges(touched), []
    for attempt in restored.attempts:
        pair = attempt.images, batch.images
        tensors = {
            **{metric.__name__: metric(*pair) for metric in (mse, psnr, ssim)},
            **{f"{metric.__name__}_touched": metric(*pair, touched) for metric in (mse, psnr, ssim)},
            "mse_edge": mse(*pair, edge),
        }
        if attempt.losses is not None:
            tensors["loss"] = attempt.losses
        metrics.append({name: [_nan_to_none(value) for value in values.tolist()] for name, values in tensors.items()})
    return [
        {
            "image_id": number,
            "label": label,
            "corruption": corruption.name,
            "method": attempt.method,
            "norm": attempt.norm,
            "mask": attempt.mask,
            **{name: values[image] for name, values in columns.items()},
        }
        for image, (number, label) in enumerate(zip(batch.indices, batch.labels, strict=True))
        for attempt, columns in zip(restored.attempts, metrics, strict=True)
    ]


def shown(clean: Tensor, restored: Restored, count: int) -> Tensor:
    """The first ``count`` images (rows, count, c, h, w): clean ones, then a row an attempt."""
    return torch.stack([clean, *(attempt.images for attempt in restored.attempts)])[:, :count]


def edges(touched: Tensor) -> Tensor:
    """Pixels (n, 1, h, w) on either side of the boundary of touched pixels; none if that is all pixels."""
    edge = torch.zeros_like(touched)
    for change, before, after in (
        (touched[..., 1:, :] != touched[..., :-1, :], edge[..., :-1, :], edge[..., 1:, :]),
        (touched[..., 1:] != touched[..., :-1], edge[..., :-1], edge[..., 1:]),
    ):
        before |= change
        after |= change
    return edge & ~edge.flatten(1).all(1)[:, None, None, None]


def _nan_to_none(value: float) -> float | None:
    return None if math.isnan(value) else value
