"""The result of a latent search for held-out images: its metrics, rows and picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.data.ranges import signed_from_unit
from orchestrator.evaluations.inputs.sampling import finite
from orchestrator.evaluations.latent_search.search import SearchResult, Targets, draw_starts, images_in_unit, search
from orchestrator.metrics.image_quality import mse, psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch
    from orchestrator.evaluations.latent_search.settings import LatentSearch

_MEASURED_AT_ONCE = 64


class Inverted(NamedTuple):
    """The result of a search from r starts for each of n images, and the images of its latent vectors."""

    result: SearchResult
    images: Tensor
    """(n, r, c, h, w), nominally in [0, 1]."""

    @property
    def chosen(self) -> Tensor:
        """(n, c, h, w): the image of each best restart."""
        return self.images[torch.arange(len(self.images), device=self.images.device), self.result.best]


def targets_of(batch: ImageBatch) -> Targets:
    """The images as targets, with all pixels observed."""
    return Targets(batch.images, torch.ones_like(batch.images[:, :1], dtype=torch.bool), batch.indices)


def invert(settings: LatentSearch, model: TrainedModel, batch: ImageBatch, starts: Tensor) -> Inverted:
    """Search from ``starts`` (n, r, latent_dim). Raises EvaluationError if generated images are not finite."""
    result = search(settings, model.generator, targets_of(batch), starts.to(batch.images))
    return Inverted(result, generate(model, result.latents))


def latents_of(settings: LatentSearch, model: TrainedModel, batch: ImageBatch, seed: int) -> Tensor:
    """Latent vectors (n, latent_dim): E(x) if the trial trained an encoder, else the best of a search.

    ``seed`` is the seed of the search's starts.
    """
    if model.encoder is not None:
        return model.encoder(signed_from_unit(batch.images)).to(batch.images)
    targets = targets_of(batch)
    starts = draw_starts(targets, settings.restarts, model.settings.latent_dim, seed)
    return search(settings, model.generator, targets, starts).chosen


def generate(model: TrainedModel, latents: Tensor) -> Tensor:
    """Images (..., c, h, w), nominally in [0, 1], of latent vectors (..., latent_dim).

    Raises EvaluationError if they are not finite.
    """
    images = finite(model, images_in_unit(model.generator, latents.flatten(0, -2)).to(latents))
    return images.view(*latents.shape[:-1], *images.shape[1:])


def quality_columns(images: Tensor, clean: Tensor) -> dict[str, list[float]]:
    """mse, psnr and ssim of images (n, c, h, w), in batches: SSIM makes copies in double precision."""
    parts = list(zip(torch.split(images, _MEASURED_AT_ONCE), torch.split(clean, _MEASURED_AT_ONCE), strict=True))
    return {
        metric.__name__: [value for part in parts for value in metric(*part).tolist()] for metric in (mse, psnr, ssim)
    }


def image_columns(batch: ImageBatch) -> list[dict[str, Any]]:
    """The columns of a row that identify its image: ``image_id`` and ``label``."""
    return [{"image_id": number, "label": label} for number, label in zip(batch.indices, batch.labels, strict=True)]


def curves_of(settings: LatentSearch, batch: ImageBatch, result: SearchResult, **columns: str) -> list[dict[str, Any]]:
    """Rows of the loss curve of each restart, up to the step where it was dropped; every row has ``columns`` too."""
    dropped = result.dropped.tolist()
    return [
        {"image_id": number, **columns, "restart": restart, "step": step, "loss": None if math.isnan(loss) else loss}
        for image, (number, curves) in enumerate(zip(batch.indices, result.curves.tolist(), strict=True))
        for restart, curve in enumerate(curves)
        for step, loss in zip(settings.points, curve, strict=True)
        if not dropped[image][restart] or step < dropped[image][restart]
    ]


def gallery(clean: Tensor, columns: Sequence[Tensor], count: int) -> bytes:
    """PNG of the first ``count`` images (n, c, h, w), a row each; ``columns`` are further images of each row."""
    return tiled(torch.stack([clean, *columns], 1)[:count])
