"""Likelihoods of images under a flow, as rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from orchestrator.data.images import order_of
from orchestrator.data.ranges import signed_from_unit
from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.inputs.image_batch import choose_from
from orchestrator.models._flow import Flow, bits_per_dimension, dequantize

if TYPE_CHECKING:
    from orchestrator.data import ImageSet
    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.likelihood.settings import Likelihood


def compute(settings: Likelihood, model: TrainedModel, shard: int) -> ShardResult:
    """The rows of one shard, which is a part of one data set."""
    if problem := settings.not_applicable(model.settings):
        raise DataError(f"{settings.kind}: {problem}")
    which, part = divmod(shard, HeldOutEvaluation.shards(settings, model.settings))
    data = settings.sets(model.settings)[which]
    held_out = model.held_out if which == 0 else model.others[data]
    if problem := settings.reject_images(data, {"test": held_out}):
        raise DataError(f"{settings.kind}: {problem}")
    images = slice(part * settings.shard_images, (part + 1) * settings.shard_images)
    return ShardResult(rows_of(settings, model, data.name, held_out, images))


def rows_of(
    settings: Likelihood, model: TrainedModel, name: str, held_out: ImageSet, part: slice
) -> list[dict[str, Any]]:
    """A row for each image of a part of a set; noise depends on the seed and the image's index only."""
    flow = model.generator
    assert isinstance(flow, Flow)
    indices = order_of(len(held_out))[: settings.images][part]
    batch = choose_from(held_out, indices, model.device)
    noise = torch.stack([_noise(settings.seed, int(number), batch.images[0].shape) for number in indices])
    with torch.no_grad():
        latents, log_det = flow.encode(dequantize(signed_from_unit(batch.images), noise.to(model.device)))
        bits = bits_per_dimension(latents, log_det)
    if not bits.isfinite().all():
        raise EvaluationError(f"the flow of trial {model.trial_id} gives likelihoods that are not finite")
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
            batch.indices, batch.labels, bits.tolist(), log_det.tolist(), strict=True
        )
    ]


def _noise(seed: int, number: int, shape: torch.Size) -> torch.Tensor:
    # Hashed, because torch's generator on CPUs uses only the lowest 32 bits of a seed.
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    source = torch.Generator().manual_seed(int(state[0]))
    return torch.rand(shape, generator=source)
