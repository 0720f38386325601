"""Inversion of held-out images: the restarts of each, their loss curves, and the error of the best by frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.evaluations.evaluation import ShardResult, TrainedModel
from orchestrator.evaluations.inputs.image_batch import ImageBatch, choose
from orchestrator.evaluations.inversion.settings import SHOWN, SHOWN_RESTARTS, Inversion
from orchestrator.evaluations.latent_search.inverted import (
    Inverted,
    curves_of,
    gallery,
    image_columns,
    invert,
    quality_columns,
    targets_of,
)
from orchestrator.evaluations.latent_search.kept import kept_columns, typicality_columns
from orchestrator.evaluations.latent_search.search import draw_starts
from orchestrator.metrics.image_quality import band_power

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def compute(settings: Inversion, model: TrainedModel, shard: int) -> ShardResult:
    """The restarts of one shard of the images, their curves, and the error of the best ones by frequency."""
    batch = choose(settings, model, shard)
    starts = draw_starts(targets_of(batch), settings.restarts, model.settings.latent_dim, settings.seed)
    inverted = invert(settings, model, batch, starts)
    shown = [inverted.chosen, *inverted.images.unbind(1)[:SHOWN_RESTARTS]]
    return ShardResult(
        rows_of(model, batch, inverted),
        {
            "curves": curves_of(settings, batch, inverted.result),
            "bands": bands_of(batch, inverted.chosen, settings.bands),
        },
        {f"gallery-{shard:04d}": gallery(batch.images, shown, SHOWN)},
    )


def rows_of(model: TrainedModel, batch: ImageBatch, inverted: Inverted) -> list[dict[str, Any]]:
    """A row an image and restart, image by image."""
    result, restarts = inverted.result, inverted.images.shape[1]
    metrics: dict[str, Sequence[Any]] = {
        "loss": result.losses.flatten().tolist(),
        **quality_columns(inverted.images.flatten(0, 1), batch.images.repeat_interleave(restarts, 0)),
        **kept_columns(model, batch, inverted.images.flatten(0, 1)),
        "latent_norm": result.latents.norm(dim=2).flatten().tolist(),
    }
    best, dropped = result.best.tolist(), result.dropped.flatten().tolist()
    return [
        {
            **columns,
            **typical,
            "restart": restart,
            "chosen": restart == best[image],
            **{name: values[image * restarts + restart] for name, values in metrics.items()},
            "dropped_at": dropped[image * restarts + restart] or None,
        }
        for image, (columns, typical) in enumerate(
            zip(image_columns(batch), typicality_columns(model, batch), strict=True)
        )
        for restart in range(restarts)
    ]


def bands_of(batch: ImageBatch, images: Tensor, bands: int) -> list[dict[str, Any]]:
    """Error of each image (n, c, h, w) and power of its target, by frequency."""
    errors, powers = (band_power(signal, bands).tolist() for signal in (images - batch.images, batch.images))
    return [
        {
            **columns,
            "band": band,
            "frequency": (band + 1) / (2 * bands),
            "error": errors[image][band],
            "power": powers[image][band],
        }
        for image, columns in enumerate(image_columns(batch))
        for band in range(bands)
    ]
