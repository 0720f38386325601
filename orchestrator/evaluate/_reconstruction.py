"""Images from their latent vectors, measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.evaluate._inversion import latents_of, made, measured, told_of
from orchestrator.measures.pictures import sharpness

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.evaluate.evaluation import Subject
    from orchestrator.evaluate.held_out import Chosen
    from orchestrator.evaluate.reconstruction import Reconstruction


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
