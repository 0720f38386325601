"""Sharpness of samples, compared with the training images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.evaluations.evaluation import Evaluation
from orchestrator.store.columns import FLOAT, INT, Column

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings


class Sharpness(Evaluation):
    """Mean variance of the Laplacian of samples from N(0, I), of training images, and the ratio of the two.

    Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy (2000): low for what is blurred, high for what
    is noisy; 1 is as sharp as the data. The noise is told apart by the share of single pixels that stand out (Sun and
    Neuvo 1994) and by its standard deviation from pixel to pixel (Immerkaer 1996): see ``metrics.grain``.
    """

    version = 2
    columns = (
        Column("samples", INT, "images", "generated images, and at most as many training images"),
        Column("sharpness", FLOAT, "", "mean variance of the Laplacian of generated images in [0, 1]", "of samples"),
        Column("real", FLOAT, "", "the same of training images", "of the data"),
        Column("ratio", FLOAT, "", "sharpness over that of training images; null where that is 0", "over the data's"),
        Column(
            "salt_and_pepper", FLOAT, "", "share of generated pixels far from the median around them", "salt and pepper"
        ),
        Column("salt_and_pepper_real", FLOAT, "", "the same of training images", "salt and pepper of the data"),
        Column("pixelation", FLOAT, "", "noise of generated images from pixel to pixel, in [0, 1]", "pixelation"),
        Column("pixelation_real", FLOAT, "", "the same of training images", "pixelation of the data"),
    )

    kind: Literal["sharpness"] = "sharpness"
    samples: int = Field(1000, ge=1, le=1_000_000)
    """generated images"""

    def shards(self, trial: TrialSettings) -> int:
        """One."""
        return 1
