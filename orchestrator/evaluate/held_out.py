"""What all evaluations share that look at images which no trial has trained on: which ones, and in which parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from orchestrator.data.images import order_of
from orchestrator.errors import DataError
from orchestrator.evaluate.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.evaluate.evaluation import Subject
    from orchestrator.training.settings import TrialSettings

SHARD_IMAGES = 64
"""Images of one part: what bounds its memory, and what is computed again when a node is lost."""


class Chosen(NamedTuple):
    """Held-out images of one part."""

    numbers: tuple[int, ...]
    """Their places in the held-out set."""
    labels: tuple[int | None, ...]
    """Their classes; None where the set has none."""
    images: Tensor
    """(n, c, h, w) float32 in [0, 1], on the subject's device."""


class HeldOutEvaluation(Evaluation):
    """An evaluation of ``images`` held-out images: the first ones in an order that is drawn once for all.

    So a larger number begins with the images of the smaller one, and every kind looks at the same. A shard is
    SHARD_IMAGES of them.
    """

    splits: ClassVar[tuple[Split, ...]] = ("test",)

    images: int = Field(256, ge=1, le=1_000_000)
    """held-out images that it looks at"""

    def shards(self, trial: TrialSettings) -> int:
        """As many as the images fill."""
        return -(-self.images // SHARD_IMAGES)

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Also where there are fewer held-out images than it looks at."""
        there = len(images["test"])
        if self.images > there:
            are = f"the held-out images of {data.name} are {there}" if there else f"{data.name} has no held-out images"
            return f"images: got {self.images}, but {are}; {'lower it' if there else 'take it out'}"
        return super().reject_images(data, images)

    def choose(self, subject: Subject, shard: int) -> Chosen:
        """The images of one shard. Raises DataError where the set holds fewer than ``images``."""
        if problem := self.reject_images(subject.settings.data, subject.splits):
            raise DataError(f"{self.kind}: {problem}")
        order = order_of(len(subject.held_out))[: self.images]
        return take(subject, order[shard * SHARD_IMAGES : (shard + 1) * SHARD_IMAGES])


def take(subject: Subject, numbers: NDArray[np.int64]) -> Chosen:
    """The held-out images at these places."""
    return choose_from(subject.held_out, numbers, subject.device)


def choose_from(held_out: ImageSet, numbers: NDArray[np.int64], device: torch.device) -> Chosen:
    """The images of any set at these places, on the device."""
    import torch

    pixels = torch.from_numpy(held_out.pixels[numbers]).to(device)
    labels = [None] * len(numbers) if held_out.labels is None else held_out.labels[numbers].tolist()
    return Chosen(tuple(numbers.tolist()), tuple(labels), pixels.float() / 255)
