"""What a search for the latent vectors of held-out images found, as rows and as a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.evaluate._sampling import finite
from orchestrator.evaluate._search import images_in_unit
from orchestrator.evaluate.latent_search import Inversions, LatentSearch, Targets
from orchestrator.measures.pictures import band_power, mse, psnr, ssim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.evaluate.evaluation import Subject
    from orchestrator.evaluate.held_out import Chosen

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


def targets_of(chosen: Chosen) -> Targets:
    """The images, all of whose pixels are observed."""
    return Targets(chosen.images, torch.ones_like(chosen.images[:, :1], dtype=torch.bool), chosen.numbers)


def invert(search: LatentSearch, subject: Subject, chosen: Chosen, starts: Tensor) -> Inverted:
    """Search from ``starts`` (n, r, latent_dim). Raises EvaluationError where the generator makes no finite images."""
    found = search.seek(subject.generator, targets_of(chosen), starts.to(chosen.images))
    return Inverted(found, made(subject, found.latents))


def latents_of(search: LatentSearch, subject: Subject, chosen: Chosen, seed: int) -> Tensor:
    """Latent vectors (n, latent_dim): E(x) where the trial trained an encoder, else the best of a search.

    ``seed`` is that of the starts of the search.
    """
    if subject.encoder is not None:
        return subject.encoder(2 * chosen.images - 1).to(chosen.images)
    targets = targets_of(chosen)
    starts = search.draw_starts(targets, subject.settings.latent_dim, seed)
    return search.seek(subject.generator, targets, starts).chosen


def made(subject: Subject, latents: Tensor) -> Tensor:
    """Images (..., c, h, w) of latent vectors (..., latent_dim). Raises EvaluationError likewise."""
    images = finite(subject, images_in_unit(subject.generator, latents.flatten(0, -2)).to(latents))
    return images.view(*latents.shape[:-1], *images.shape[1:])


def measured(images: Tensor, clean: Tensor) -> dict[str, list[float]]:
    """mse, psnr and ssim of each of images (n, c, h, w), some at a time: SSIM takes copies in double precision."""
    parts = list(zip(torch.split(images, _MEASURED_AT_ONCE), torch.split(clean, _MEASURED_AT_ONCE), strict=True))
    return {
        measure.__name__: [value for part in parts for value in measure(*part).tolist()]
        for measure in (mse, psnr, ssim)
    }


def rows_of(chosen: Chosen, inverted: Inverted) -> list[dict[str, Any]]:
    """A row an image and restart, image by image."""
    found, restarts = inverted.found, inverted.images.shape[1]
    figures: dict[str, Sequence[float]] = {
        "loss": found.losses.flatten().tolist(),
        **measured(inverted.images.flatten(0, 1), chosen.images.repeat_interleave(restarts, 0)),
        "latent_norm": found.latents.norm(dim=2).flatten().tolist(),
    }
    best, dropped = found.best.tolist(), found.dropped.flatten().tolist()
    return [
        {
            **told,
            "restart": restart,
            "chosen": restart == best[image],
            **{name: values[image * restarts + restart] for name, values in figures.items()},
            "dropped_at": dropped[image * restarts + restart] or None,
        }
        for image, told in enumerate(told_of(chosen))
        for restart in range(restarts)
    ]


def told_of(chosen: Chosen) -> list[dict[str, Any]]:
    """What a row says of its image."""
    return [{"image_id": number, "label": label} for number, label in zip(chosen.numbers, chosen.labels, strict=True)]


def curves_of(search: LatentSearch, chosen: Chosen, found: Inversions, **told: str) -> list[dict[str, Any]]:
    """The loss curve of each restart, which ends where it was dropped; ``told`` of every row."""
    dropped = found.dropped.tolist()
    return [
        {"image_id": number, **told, "restart": restart, "step": step, "loss": None if math.isnan(loss) else loss}
        for image, (number, curves) in enumerate(zip(chosen.numbers, found.curves.tolist(), strict=True))
        for restart, curve in enumerate(curves)
        for step, loss in zip(search.points, curve, strict=True)
        if not dropped[image][restart] or step < dropped[image][restart]
    ]


def bands_of(chosen: Chosen, images: Tensor, bands: int) -> list[dict[str, Any]]:
    """Error of each image (n, c, h, w) and power of the one it should be, by frequency."""
    errors, powers = (band_power(signal, bands).tolist() for signal in (images - chosen.images, chosen.images))
    return [
        {
            **told,
            "band": band,
            "frequency": (band + 1) / (2 * bands),
            "error": errors[image][band],
            "power": powers[image][band],
        }
        for image, told in enumerate(told_of(chosen))
        for band in range(bands)
    ]


def gallery(clean: Tensor, columns: Sequence[Tensor], count: int) -> bytes:
    """PNG of the first ``count`` of the images (n, c, h, w), a row each, and beside each what was made of it."""
    return tiled(torch.stack([clean, *columns], 1)[:count])
