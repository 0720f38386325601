"""Likelihoods of images under a flow, as rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from orchestrator.data.images import order_of
from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations.evaluation import Found
from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.image_batch import choose_from
from orchestrator.models._flow import Flow, bits_per_dimension, dequantize

if TYPE_CHECKING:
    from orchestrator.data import ImageSet
    from orchestrator.evaluations.evaluation import Subject
    from orchestrator.evaluations.likelihood.settings import Likelihood


def compute(settings: Likelihood, subject: Subject, shard: int) -> Found:
    """The rows of one part of one set."""
    if problem := settings.passes_over(subject.settings):
        raise DataError(f"{settings.kind}: {problem}")
    which, part = divmod(shard, HeldOutEvaluation.shards(settings, subject.settings))
    data = settings.sets(subject.settings)[which]
    held_out = subject.held_out if which == 0 else subject.others[data]
    if problem := settings.reject_images(data, {"test": held_out}):
        raise DataError(f"{settings.kind}: {problem}")
    images = slice(part * settings.shard_images, (part + 1) * settings.shard_images)
    return Found(rows_of(settings, subject, data.name, held_out, images))


def rows_of(settings: Likelihood, subject: Subject, name: str, held_out: ImageSet, part: slice) -> list[dict[str, Any]]:
    """A row for each image of a part of a set; noise comes from the seed and the image's number alone."""
    flow = subject.generator
    assert isinstance(flow, Flow)
    numbers = order_of(len(held_out))[: settings.images][part]
    chosen = choose_from(held_out, numbers, subject.device)
    noise = torch.stack([_noise(settings.seed, int(number), chosen.images[0].shape) for number in numbers])
    with torch.no_grad():
        latents, log_det = flow.encode(dequantize(2 * chosen.images - 1, noise.to(subject.device)))
        bits = bits_per_dimension(latents, log_det)
    if not bits.isfinite().all():
        raise EvaluationError(f"the flow of trial {subject.trial_id} gives likelihoods that are not finite")
    size = latents.shape[1]
    return [
        {
            "data": name,
            "image_id": number,
            "label": label,
            "bits_per_dimension": per_dimension,
            "log_likelihood": -per_dimension * size * math.log(2),
            "log_det": change,
        }
        for number, label, per_dimension, change in zip(
            chosen.numbers, chosen.labels, bits.tolist(), log_det.tolist(), strict=True
        )
    ]


def _noise(seed: int, number: int, shape: torch.Size) -> torch.Tensor:
    # hashed together: of a seed torch's generator on CPUs takes the lowest 32 bits alone
    mixed = np.random.SeedSequence([seed, number]).generate_state(1)
    source = torch.Generator().manual_seed(int(mixed[0]))
    return torch.rand(shape, generator=source)
