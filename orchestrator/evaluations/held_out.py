"""What all evaluations share that look at images which no trial has trained on: which ones, and in which parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.training.settings import TrialSettings


class HeldOutEvaluation(Evaluation):
    """An evaluation of ``images`` held-out images: the first ones in an order that is drawn once for all.

    So a larger number begins with the images of the smaller one, and every kind looks at the same. A shard is
    ``shard_images`` of them.
    """

    shard_images: ClassVar[int] = 64
    """Images of one shard: they bound its memory, and are computed again when a node is lost."""
    splits: ClassVar[tuple[Split, ...]] = ("test",)

    images: int = Field(256, ge=1, le=1_000_000)
    """held-out images that it looks at"""

    def shards(self, trial: TrialSettings) -> int:
        """As many as the images fill."""
        return -(-self.images // self.shard_images)

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Also where there are fewer held-out images than it looks at."""
        there = len(images["test"])
        if self.images > there:
            are = f"the held-out images of {data.name} are {there}" if there else f"{data.name} has no held-out images"
            return f"images: got {self.images}, but {are}; {'lower it' if there else 'take it out'}"
        return super().reject_images(data, images)
