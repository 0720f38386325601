"""Restoration of corrupted images by a search in the latent space of a generator that was trained on clean ones."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from orchestrator.data.corruptions import AnyCorruption, Crosswalk, GaussianNoise, Holes, Pepper, Square
from orchestrator.evaluations.held_out import CLASS_KEPT, IMAGE_ID, LABEL, HeldOutEvaluation
from orchestrator.evaluations.latent_search.norms import Norm
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.store.columns import FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from orchestrator.data.corruptions import Corruption
    from orchestrator.training.settings import TrialSettings

Mask = Literal["known", "unknown"]

EVERY_CORRUPTION = (GaussianNoise(), Holes(), Holes(fill="black"), Pepper(), Crosswalk(), Square(place="random"))
SHOWN = 8
"""Images in the picture of a corruption."""


class Restoration(HeldOutEvaluation, LatentSearch):
    """G(z) with z = argmin of the mean over pixels of |G(z) - M(x)|, for corrupted held-out images M(x) and each norm.

    Bora et al., arXiv 1703.03208. With a known mask the mean is over the pixels that M leaves observed, with an unknown
    one over all. It is compared with the corrupted image and a classical method (``baselines``); all are measured
    against the clean image. Starts are the same for every norm and mask. Where whole patches are hidden, the clean
    image is inverted too, by each norm from the same starts: the error that a hole causes around it is told from the
    error that there is anyway. A shard is one corruption of ``shard_images`` images.
    """

    version = 2
    classifies: ClassVar = True
    on_host: ClassVar = True
    keys: ClassVar = ("image_id", "corruption", "method")
    keys_or_null: ClassVar = ("norm", "mask")
    columns = (
        IMAGE_ID,
        LABEL,
        Column("corruption", STRING, "", "what was done to the image; with what is not as by default in its name"),
        Column("method", STRING, "", "search, corrupted (nothing was done), total_variation or biharmonic"),
        Column("norm", STRING, "", "norm of the search; null for other methods"),
        Column("mask", STRING, "", "known or unknown to the search; null for other methods"),
        Column("loss", FLOAT, "", "mean norm over the pixels searched by, plus the prior's term; null likewise"),
        Column("mse", FLOAT, "", "mean squared error against the clean image, in [0, 1]", "MSE"),
        Column("psnr", FLOAT, "dB", "peak signal-to-noise ratio against the clean image", "PSNR"),
        Column("ssim", FLOAT, "", "mean structural similarity to the clean image", "SSIM"),
        Column("mse_touched", FLOAT, "", "mse over the corrupted pixels"),
        Column("psnr_touched", FLOAT, "dB", "psnr over the corrupted pixels"),
        Column("ssim_touched", FLOAT, "", "ssim over the corrupted pixels"),
        Column(
            "mse_edge", FLOAT, "", "mse of pixels beside a change from corrupted to observed, of both kinds, or null"
        ),
        Column(
            "ring_excess",
            FLOAT,
            "",
            "mse of observed pixels at most 2 pixels from a hole, less that of the clean image's inversion there; of "
            "searches, else null",
        ),
        Column("far_excess", FLOAT, "", "the same of the other observed pixels; null likewise"),
        Column("top", INT, "pixels", "first row of the square; null of other corruptions"),
        Column("left", INT, "pixels", "its first column; null likewise"),
        *CLASS_KEPT,
    )

    kind: Literal["restoration"] = "restoration"
    restarts: int = Field(3, ge=1, le=1000)
    """starts for each image; the best is kept"""
    corruptions: tuple[AnyCorruption, ...] = Field(EVERY_CORRUPTION, min_length=1, max_length=100, strict=False)
    """what is done to the images, each by itself"""
    norms: tuple[Norm, ...] = Field(("l1", "l2", "huber"), min_length=1, strict=False)
    """norms by which images are compared, each in a search of its own"""
    masks: tuple[Mask, ...] = Field(("known",), min_length=1, strict=False)
    """whether corrupted pixels are left out of the loss; where nothing is hidden, only the first is computed"""

    @field_validator("corruptions", "norms", "masks")
    @classmethod
    def _each_once(cls, entries: tuple[Corruption | str, ...]) -> tuple[Corruption | str, ...]:
        names = [entry if isinstance(entry, str) else entry.name for entry in entries]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"got {twice[0]} twice; take one out")
        return entries

    def reject(self, trial: TrialSettings) -> str | None:
        """Also if a corruption does not fit the images."""
        problems = (corruption.reject(trial.data.shape) for corruption in self.corruptions)
        return super().reject(trial) or next((f"corruptions: {problem}" for problem in problems if problem), None)

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """Corruptions by their names; norms and masks, which are null for methods other than the search."""
        values = {
            "corruption": tuple(corruption.name for corruption in self.corruptions),
            "norm": (*self.norms, None),
            "mask": (*self.masks, None),
        }
        return values.get(column)

    def shards(self, trial: TrialSettings) -> int:
        """The shards of the images, for each corruption."""
        return len(self.corruptions) * super().shards(trial)

    def place_of(self, shard: int) -> tuple[Corruption, int]:
        """The corruption of a shard, and which shard of the images it is."""
        which, part = divmod(shard, -(-self.images // self.shard_images))
        return self.corruptions[which], part
