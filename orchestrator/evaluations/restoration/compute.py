"""Restoration of corrupted images by several methods, and their errors against the clean images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from orchestrator.data._tiles import tiled
from orchestrator.data.corruptions import Occlusion, Square
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.inputs.image_batch import choose, choose_of
from orchestrator.evaluations.latent_search.inverted import generate, image_columns, targets_of
from orchestrator.evaluations.latent_search.kept import class_columns
from orchestrator.evaluations.latent_search.search import Targets, draw_starts, search
from orchestrator.evaluations.restoration.baselines import baseline
from orchestrator.evaluations.restoration.settings import SHOWN
from orchestrator.metrics.image_quality import mse, psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.data.corruptions import Corrupted, Corruption
    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch
    from orchestrator.evaluations.latent_search.norms import Norm
    from orchestrator.evaluations.restoration.settings import Mask, Restoration


RING_PX = 2
"""Width of the ring around a hole."""


class Attempt(NamedTuple):
    """The images restored by one method."""

    method: str
    norm: Norm | None
    mask: Mask | None
    images: Tensor
    """(n, c, h, w)"""
    losses: Tensor | None
    """(n,) of the best restart of a search."""
    inversions: Tensor | None = None
    """(n, c, h, w): what the same search finds for the clean images; None unless patches were hidden."""


class Restored(NamedTuple):
    """The corrupted images and all attempts: as they are, each search, the baseline."""

    corrupted: Corrupted
    attempts: list[Attempt]


def compute(settings: Restoration, model: TrainedModel, shard: int) -> ShardResult:
    """The rows of one part of the images under one corruption; the first part also has a picture."""
    corruption, part = settings.place_of(shard)
    batch = choose(settings, model, part)
    restored = restore(settings, model, batch, corruption)
    pictures = {} if part else {corruption.name: tiled(shown(batch.images, restored, SHOWN))}
    return ShardResult(rows_of(model, batch, corruption, restored), pictures=pictures)


def on_host(settings: Restoration, data: Dataset, splits: Mapping[Split, ImageSet], shard: int) -> dict[Hashable, Any]:
    """The baseline of one shard, as ``restore`` finds it in the cache."""
    corruption, part = settings.place_of(shard)
    batch = choose_of(settings, data, splits, part, torch.device("cpu"))
    corrupted = corruption.apply(batch.images, batch.indices, settings.seed)
    return {_baseline_name(settings, data, batch, corruption): baseline(corruption, corrupted)}


def _baseline_name(settings: Restoration, data: Dataset, batch: ImageBatch, corruption: Corruption) -> Hashable:
    return "baseline", data, corruption, settings.seed, batch.indices


def restore(settings: Restoration, model: TrainedModel, batch: ImageBatch, corruption: Corruption) -> Restored:
    """``Restoration`` under one corruption. Raises EvaluationError if generated images are not finite."""
    corrupted = corruption.apply(batch.images, batch.indices, settings.seed)
    everything = torch.ones_like(corrupted.observed)
    masks = settings.masks if not corrupted.observed.all() else settings.masks[:1]
    attempts = [Attempt("corrupted", None, None, corrupted.images, None)]
    clean = targets_of(batch)
    starts = draw_starts(clean, settings.restarts, model.settings.latent_dim, settings.seed).to(batch.images)
    inversions: dict[Norm, Tensor] = {}
    if isinstance(corruption, Occlusion) and corruption.in_patches:
        inversions = {norm: _inversion(settings, model, batch, starts, norm) for norm in settings.norms}
    for mask in masks:
        targets = Targets(corrupted.images, corrupted.observed if mask == "known" else everything, batch.indices)
        for norm in settings.norms:
            result = search(settings, model.generator, targets, starts, norm)
            losses = result.losses.take_along_dim(result.best[:, None], 1).squeeze(1)
            images = generate(model, result.chosen)
            attempts.append(Attempt("search", norm, mask, images, losses, inversions.get(norm)))
    name, images = model.cache.get(
        _baseline_name(settings, model.settings.data, batch, corruption), lambda: baseline(corruption, corrupted)
    )
    return Restored(corrupted, [*attempts, Attempt(name, None, None, images.to(batch.images), None)])


def _inversion(settings: Restoration, model: TrainedModel, batch: ImageBatch, starts: Tensor, norm: Norm) -> Tensor:
    """The images that a search finds for the clean ones, which are the same under each corruption."""

    def invert() -> Tensor:
        return generate(model, search(settings, model.generator, targets_of(batch), starts, norm).chosen).cpu()

    name = ("clean images", model.trial_id, settings.id, norm, batch.indices)
    images: Tensor = model.cache.get(name, invert)
    return images.to(batch.images)


def rows_of(model: TrainedModel, batch: ImageBatch, corruption: Corruption, restored: Restored) -> list[dict[str, Any]]:
    """A row an image and attempt, image by image."""
    touched = restored.corrupted.touched
    corners = _corners(touched) if isinstance(corruption, Square) else [(None, None)] * len(touched)
    metrics = [
        {**_metrics(attempt, batch, touched), **class_columns(model, attempt.images, batch.labels)}
        for attempt in restored.attempts
    ]
    return [
        {
            **columns,
            "corruption": corruption.name,
            "method": attempt.method,
            "norm": attempt.norm,
            "mask": attempt.mask,
            "top": top,
            "left": left,
            **{name: values[image] for name, values in measured.items()},
        }
        for image, (columns, (top, left)) in enumerate(zip(image_columns(batch), corners, strict=True))
        for attempt, measured in zip(restored.attempts, metrics, strict=True)
    ]


def _metrics(attempt: Attempt, batch: ImageBatch, touched: Tensor) -> dict[str, list[Any]]:
    """The figures of one attempt, a number or None for each image."""
    pair = attempt.images, batch.images
    tensors = {
        **{metric.__name__: metric(*pair) for metric in (mse, psnr, ssim)},
        **{f"{metric.__name__}_touched": metric(*pair, touched) for metric in (mse, psnr, ssim)},
        "mse_edge": mse(*pair, edges(touched)),
    }
    if attempt.losses is not None:
        tensors["loss"] = attempt.losses
    if attempt.inversions is not None:
        ring, far = surroundings(touched)
        for name, mask in (("ring_excess", ring), ("far_excess", far)):
            tensors[name] = mse(*pair, mask) - mse(attempt.inversions, batch.images, mask)
    return {name: [_nan_to_none(value) for value in values.tolist()] for name, values in tensors.items()}


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


def surroundings(touched: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (n, 1, h, w) that are not touched: those at most RING_PX from touched ones, and the others.

    Distances are the larger of those in rows and columns. Images without pixels of either kind have none of both.
    """
    near = max_pool2d(touched.float(), 2 * RING_PX + 1, 1, RING_PX).bool()
    both = near & ~touched, ~near
    some = (both[0].flatten(1).any(1) & both[1].flatten(1).any(1))[:, None, None, None]
    return both[0] & some, both[1] & some


def _corners(touched: Tensor) -> list[tuple[int, int]]:
    """Row and column of the first touched pixel of each image, (n, 1, h, w), whose touched pixels are a square."""
    tops, lefts = (touched[:, 0].any(dimension).int().argmax(1).tolist() for dimension in (2, 1))
    return list(zip(tops, lefts, strict=True))


def _nan_to_none(value: float) -> float | None:
    return None if math.isnan(value) else value
