"""Interpolation in the latent space between inverted images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation
from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.interpolation.pairs import pair_up
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.store.columns import BOOL, FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.data import Dataset, ImageSet, Split
    from orchestrator.training.settings import TrialSettings

SHOWN = 8
"""Pairs in the picture of a kind of path."""


class Interpolation(Evaluation, LatentSearch):
    """G(a z1 + (1 - a) z2) for a = 0, 1/8 ... 1 between pairs of held-out images, inverted first.

    Images are inverted by the encoder if the trial trained one, else by a search with the L2 norm. Paths are straight,
    and along the great circle (White, arXiv 1609.04468). Every second pair, from the first one on, is of one class; the
    others are of two. No image is in two pairs, and more pairs include those of fewer. Smoothness is measured by the
    path's length in the classifier's features (shorter is smoother). A shard is ``shard_pairs`` pairs.
    """

    shard_pairs: ClassVar[int] = HeldOutEvaluation.shard_images // 2
    """Pairs of one shard."""
    version = 4
    splits: ClassVar = ("test",)
    keys: ClassVar = ("pair", "way")
    columns = (
        Column("pair", INT, "", "number of the pair"),
        Column("first_id", INT, "", "the place in the held-out set of the image at a = 1"),
        Column("second_id", INT, "", "the place in the held-out set of the image at a = 0"),
        Column("first_label", INT, "", "the class of the image at a = 1"),
        Column("second_label", INT, "", "the class of the image at a = 0"),
        Column("alike", BOOL, "", "whether both images are of one class; null where the set has none"),
        Column("way", STRING, "", "linear or spherical"),
        Column("features", STRING, "", "what the features come from; compare figures of the same only"),
        Column(
            "path_length", FLOAT, "", "sum of the distances between the features of successive points", "path length"
        ),
        Column(
            "detour", FLOAT, "", "path_length over the distance of the ends, 1 or more; null where they agree", "detour"
        ),
        Column("largest_step", FLOAT, "", "largest distance between the features of successive points", "largest step"),
        Column("classes", STRING, "", "classes met from a = 0 to a = 1, such as 4-9-7"),
        Column("third_classes", INT, "classes", "classes met that neither end of the way has"),
        Column("third_met", INT, "", "1 if there are any, else 0: its mean is a share of the ways"),
        Column("ends_mse", FLOAT, "", "mean squared error of the two inverted images, in [0, 1]", "MSE of the ends"),
    )
    tables: ClassVar = {
        "points": (
            Column("pair", INT, "", "number of the pair"),
            Column("way", STRING, "", "linear or spherical"),
            Column("share", FLOAT, "", "a: 0 at the second image, 1 at the first"),
            Column("class", INT, "", "the class that the classifier sees"),
            Column("confidence", FLOAT, "", "the classifier's probability of it"),
        )
    }

    kind: Literal["interpolation"] = "interpolation"
    pairs: int = Field(32, ge=1, le=100_000)
    """pairs of held-out images"""

    @property
    def feature_extractor(self) -> Literal["classifier"]:
        """The length of a path is measured in a classifier's features."""
        return "classifier"

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The two kinds of paths; pairs of one class and, from the second pair on, also of two."""
        values = {"way": ("linear", "spherical"), "alike": (True, False)[: self.pairs]}
        return values.get(column)

    def shards(self, trial: TrialSettings) -> int:
        """ceil(pairs / shard_pairs)."""
        return -(-self.pairs // self.shard_pairs)

    def reject_images(self, data: Dataset, images: Mapping[Split, ImageSet]) -> str | None:
        """Also if the held-out images make fewer than ``pairs`` pairs."""
        labels = images["test"].labels
        if labels is None:
            return self.classless(data)
        count = len(pair_up(labels, self.pairs))
        if count < self.pairs:
            make = f"make only {count} of which every second is of one class; {'lower it' if count else 'take it out'}"
            return f"pairs: got {self.pairs}, but the held-out images of {data.name} {make}"
        return super().reject_images(data, images)
