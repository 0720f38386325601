"""The base of evaluations on held-out images, which no trial trains on: their choice and their shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation
from orchestrator.store.columns import INT, Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.training.settings import TrialSettings


IMAGE_ID = Column("image_id", INT, "", "the image's place in the held-out set")
LABEL = Column("label", INT, "", "the image's class; null where the set has none")
"""The columns by which the rows of these evaluations name their image."""


class HeldOutEvaluation(Evaluation):
    """An evaluation on ``images`` held-out images: the first ones in a fixed random order.

    A larger number includes the images of a smaller one, and every kind uses the same images. A shard is
    ``shard_images`` of them.
    """

    shard_images: ClassVar[int] = 64
    """Images of one shard: the bound of its memory, and of the work that is repeated when a node is lost."""
    splits: ClassVar[tuple[Split, ...]] = ("test",)

    images: int = Field(256, ge=1, le=1_000_000)
    """held-out images that it uses"""

    def shards(self, trial: TrialSettings) -> int:
        """ceil(images / shard_images)."""
        return -(-self.images // self.shard_images)

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Also if there are fewer than ``images`` held-out images."""
        count = len(images["test"])
        if self.images > count:
            fact = f"the held-out images of {data.name} are {count}" if count else f"{data.name} has no held-out images"
            return f"images: got {self.images}, but {fact}; {'lower it' if count else 'take it out'}"
        return super().reject_images(data, images)
