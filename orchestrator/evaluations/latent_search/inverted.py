"""What a search for the latent vectors of held-out images comes to, measured, as rows and as a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.evaluations.latent_search.search import Inversions, Targets, draw_starts, images_in_unit, search
from orchestrator.evaluations.sampling import finite
from orchestrator.metrics.image_quality import mse, psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.image_batch import ImageBatch
    from orchestrator.evaluations.latent_search.settings import LatentSearch

_MEASURED_AT_ONCE = 64


class Inverted(NamedTuple):
    """A search from r starts of each of n images, and the images that its latent vectors make."""

    found: Inversions
    images: Tensor
    """(n, r, c, h, w), nominally in [0, 1]."""

    @property
    def chosen(self) -> Tensor:
        """(n, c, h, w): the image of each best restart."""
        return self.images[torch.arange(len(self.images), device=self.images.device), self.found.best]


def targets_of(batch: ImageBatch) -> Targets:
    """The images, all of whose pixels are observed."""
    return Targets(batch.images, torch.ones_like(batch.images[:, :1], dtype=torch.bool), batch.indices)


def invert(settings: LatentSearch, model: TrainedModel, batch: ImageBatch, starts: Tensor) -> Inverted:
    """Search from ``starts`` (n, r, latent_dim). Raises EvaluationError where the generator makes no finite images."""
    found = search(settings, model.generator, targets_of(batch), starts.to(batch.images))
    return Inverted(found, made(model, found.latents))


def latents_of(settings: LatentSearch, model: TrainedModel, batch: ImageBatch, seed: int) -> Tensor:
    """Latent vectors (n, latent_dim): E(x) where the trial trained an encoder, else the best of a search.

    ``seed`` is that of the starts of the search.
    """
    if model.encoder is not None:
        return model.encoder(2 * batch.images - 1).to(batch.images)
    targets = targets_of(batch)
    starts = draw_starts(targets, settings.restarts, model.settings.latent_dim, seed)
    return search(settings, model.generator, targets, starts).chosen


def made(model: TrainedModel, latents: Tensor) -> Tensor:
    """Images (..., c, h, w) of latent vectors (..., latent_dim). Raises EvaluationError likewise."""
    images = finite(model, images_in_unit(model.generator, latents.flatten(0, -2)).to(latents))
    return images.view(*latents.shape[:-1], *images.shape[1:])


def measured(images: Tensor, clean: Tensor) -> dict[str, list[float]]:
    """mse, psnr and ssim of each of images (n, c, h, w), some at a time: SSIM takes copies in double precision."""
    parts = list(zip(torch.split(images, _MEASURED_AT_ONCE), torch.split(clean, _MEASURED_AT_ONCE), strict=True))
    return {
        measure.__name__: [value for part in parts for value in measure(*part).tolist()]
        for measure in (mse, psnr, ssim)
    }


def told_of(batch: ImageBatch) -> list[dict[str, Any]]:
    """What a row says of its image."""
    return [{"image_id": number, "label": label} for number, label in zip(batch.indices, batch.labels, strict=True)]


def curves_of(settings: LatentSearch, batch: ImageBatch, found: Inversions, **told: str) -> list[dict[str, Any]]:
    """The loss curve of each restart, which ends where it was dropped; ``told`` of every row."""
    dropped = found.dropped.tolist()
    return [
        {"image_id": number, **told, "restart": restart, "step": step, "loss": None if math.isnan(loss) else loss}
        for image, (number, curves) in enumerate(zip(batch.indices, found.curves.tolist(), strict=True))
        for restart, curve in enumerate(curves)
        for step, loss in zip(settings.points, curve, strict=True)
        if not dropped[image][restart] or step < dropped[image][restart]
    ]


def gallery(clean: Tensor, columns: Sequence[Tensor], count: int) -> bytes:
    """PNG of the first ``count`` of the images (n, c, h, w), a row each, and beside each what was made of it."""
    return tiled(torch.stack([clean, *columns], 1)[:count])
