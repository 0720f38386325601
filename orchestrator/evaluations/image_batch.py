"""The held-out images that one shard of an evaluation looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from orchestrator.data.images import order_of
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from orchestrator.evaluations.held_out import HeldOutEvaluation
    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.data import ImageSet
    from orchestrator.evaluations.evaluation import Subject


class Chosen(NamedTuple):
    """Held-out images of one part."""

    numbers: tuple[int, ...]
    """Their places in the held-out set."""
    labels: tuple[int | None, ...]
    """Their classes; None where the set has none."""
    images: Tensor
    """(n, c, h, w) float32 in [0, 1], on the subject's device."""


def choose(settings: HeldOutEvaluation, subject: Subject, shard: int) -> Chosen:
    """The images of one shard. Raises DataError where the set holds fewer than ``images``."""
    if problem := settings.reject_images(subject.settings.data, subject.splits):
        raise DataError(f"{settings.kind}: {problem}")
    order = order_of(len(subject.held_out))[: settings.images]
    return take(subject, order[shard * settings.shard_images : (shard + 1) * settings.shard_images])


def take(subject: Subject, numbers: NDArray[np.int64]) -> Chosen:
    """The held-out images at these places."""
    return choose_from(subject.held_out, numbers, subject.device)


def choose_from(held_out: ImageSet, numbers: NDArray[np.int64], device: torch.device) -> Chosen:
    """The images of any set at these places, on the device."""
    pixels = torch.from_numpy(held_out.pixels[numbers]).to(device)
    labels = [None] * len(numbers) if held_out.labels is None else held_out.labels[numbers].tolist()
    return Chosen(tuple(numbers.tolist()), tuple(labels), pixels.float() / 255)
