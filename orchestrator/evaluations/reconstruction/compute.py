"""Images from their latent vectors, measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.data._tiles import tiled
from orchestrator.evaluations.evaluation import Found
from orchestrator.evaluations.image_batch import choose
from orchestrator.evaluations.latent_search.inverted import latents_of, made, measured, told_of
from orchestrator.evaluations.reconstruction.settings import SHOWN
from orchestrator.measures.pictures import sharpness

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.evaluations.evaluation import Subject
    from orchestrator.evaluations.image_batch import Chosen
    from orchestrator.evaluations.reconstruction.settings import Reconstruction


def compute(settings: Reconstruction, subject: Subject, shard: int) -> Found:
    """The images of one part, and of the first part a picture: images above, what came back below."""
    chosen = choose(settings, subject, shard)
    back = reconstruct(settings, subject, chosen)
    method = "search" if subject.encoder is None else "encoder"
    pictures = {} if shard else {"gallery": tiled(torch.stack([chosen.images, back])[:, :SHOWN])}
    return Found(rows_of(chosen, back, method), pictures=pictures)


def reconstruct(settings: Reconstruction, subject: Subject, chosen: Chosen) -> Tensor:
    """What comes back of images (n, c, h, w), nominally in [0, 1]."""
    return made(subject, latents_of(settings, subject, chosen, settings.seed))


def rows_of(chosen: Chosen, back: Tensor, method: str) -> list[dict[str, Any]]:
    """A row an image."""
    figures: dict[str, list[Any]] = {**measured(back, chosen.images)}
    ratios = (sharpness(back.clamp(0, 1)) / sharpness(chosen.images)).tolist()
    figures["sharpness"] = [ratio if math.isfinite(ratio) else None for ratio in ratios]
    return [
        {**told, "method": method, **{name: values[place] for name, values in figures.items()}}
        for place, told in enumerate(told_of(chosen))
    ]
