"""Samples of a latent distribution, measured against the training images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orchestrator.data.batches import to_bytes
from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import Found, Subject
from orchestrator.evaluations.sampling import images_of, sizes_of, truncated_normal

if TYPE_CHECKING:
    from orchestrator.evaluations.quality.settings import Quality


def compute(settings: Quality, subject: Subject, shard: int) -> Found:
    """The row of one distribution of latent vectors."""
    features = subject.referee.features
    problem = settings.reject_images(subject.settings.data, subject.splits)
    if problem or features is None:
        raise DataError(f"{settings.kind}: {problem or settings.classless(subject.settings.data)}")
    threshold = settings.truncation[shard - 1] if shard else None
    judged = subject.referee.judge(_draw(settings, subject, threshold))
    row = {"truncation": threshold, "samples": settings.samples, "features": features, **judged._asdict()}
    return Found([row])


def _draw(settings: Quality, subject: Subject, threshold: float | None) -> Tensor:
    """Images (samples, c, h, w) uint8."""
    source = torch.Generator().manual_seed(settings.seed)
    limit = math.inf if threshold is None else threshold
    drawn: list[Tensor] = []
    for size in sizes_of(settings.samples):
        latents = truncated_normal((size, subject.settings.latent_dim), limit, source)
        drawn += map(to_bytes, images_of(subject, latents))
    return torch.cat(drawn)
