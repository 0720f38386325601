"""The base of evaluations on held-out images, which no trial trains on: their choice and their shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation
from orchestrator.store.columns import BOOL, FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.training.settings import TrialSettings


IMAGE_ID = Column("image_id", INT, "", "the image's place in the held-out set")
LABEL = Column("label", INT, "", "the image's class; null where the set has none", needs=("classes",))
"""The columns by which the rows of these evaluations name their image."""
CLASS_KEPT = (
    Column(
        "class_kept",
        INT,
        "",
        "1 if the classifier sees the image's class in it, else 0; null without",
        "class kept",
        needs=("classes",),
    ),
    Column("classifier", STRING, "", "digest of the classifier; compare class_kept of the same only"),
)
INK_KEPT = (
    Column(
        "ink_ratio", FLOAT, "", "its pixels of 0.5 or more over the image's; null where that has none", "ink over own"
    ),
    Column(
        "box_ratio", FLOAT, "", "area of their bounding box over that of the image's; null likewise", "box over own"
    ),
    Column(
        "small_recall",
        FLOAT,
        "",
        "share of the pixels of the image's small parts, under a quarter of the largest, that it has; null without any",
        "small parts kept",
    ),
    Column("large_recall", FLOAT, "", "the same of its other parts; null likewise", "other parts kept"),
)
TYPICALITY = (
    Column(
        "class_distance",
        FLOAT,
        "",
        "mean squared difference of the image from the mean training image of its class",
        needs=("classes",),
    ),
    Column(
        "typical", BOOL, "", "whether that is at most the median of the class's training images; null without classes"
    ),
)
"""Columns of kinds that tell what of an image was kept, and how typical the image is."""


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
