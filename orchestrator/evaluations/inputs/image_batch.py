"""The held-out images of one shard of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from orchestrator.data.images import order_of
from orchestrator.data.ranges import unit_from_bytes
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.held_out import HeldOutEvaluation


class ImageBatch(NamedTuple):
    """Held-out images with their indices and labels."""

    indices: tuple[int, ...]
    """Their indices in the held-out set."""
    labels: tuple[int | None, ...]
    """Their classes; None if the set has none."""
    images: Tensor
    """(n, c, h, w) float32 in [0, 1], on the model's device."""


def choose(settings: HeldOutEvaluation, model: TrainedModel, shard: int) -> ImageBatch:
    """The images of one shard. Raises DataError if the set holds fewer than ``images``."""
    return choose_of(settings, model.settings.data, model.splits, shard, model.device)


def choose_of(
    settings: HeldOutEvaluation, data: Dataset, splits: Mapping[Split, ImageSet], shard: int, device: torch.device
) -> ImageBatch:
    """The same, of a data set without a trial."""
    if problem := settings.reject_images(data, splits):
        raise DataError(f"{settings.kind}: {problem}")
    order = order_of(len(splits["test"]))[: settings.images]
    return choose_from(
        splits["test"], order[shard * settings.shard_images : (shard + 1) * settings.shard_images], device
    )


def take(model: TrainedModel, indices: NDArray[np.int64]) -> ImageBatch:
    """The held-out images at these indices."""
    return choose_from(model.held_out, indices, model.device)


def choose_from(held_out: ImageSet, indices: NDArray[np.int64], device: torch.device) -> ImageBatch:
    """The images of any set at these indices, on the device."""
    pixels = torch.from_numpy(held_out.pixels[indices]).to(device)
    labels = [None] * len(indices) if held_out.labels is None else held_out.labels[indices].tolist()
    return ImageBatch(tuple(indices.tolist()), tuple(labels), unit_from_bytes(pixels))
