"""Inversion of held-out images: how closely a generator reproduces them, from several starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.evaluations.held_out import CLASS_KEPT, IMAGE_ID, INK_KEPT, LABEL, TYPICALITY, HeldOutEvaluation
from orchestrator.evaluations.latent_search.settings import CURVE, RESTART, LatentSearch
from orchestrator.store.columns import BOOL, FLOAT, INT, Column

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

SHOWN, SHOWN_RESTARTS = 8, 5
"""Images, and restarts of each, in the picture of a shard."""


class Inversion(HeldOutEvaluation, LatentSearch):
    """min over z of mean |G(z) - x|^2 for held-out images x, from several starts, of which the best is chosen.

    Bora et al., arXiv 1703.03208. A start depends on the seed, the image's index and its own number. A row is a
    restart: all restarts are stored, so that the best of several can be compared with a single one.
    """

    version = 2
    splits: ClassVar = ("train", "test")
    classifies: ClassVar = True
    keys: ClassVar = ("image_id", "restart")
    columns = (
        IMAGE_ID,
        LABEL,
        *TYPICALITY,
        RESTART,
        Column("chosen", BOOL, "", "whether its loss is the lowest of the image's restarts"),
        Column("loss", FLOAT, "", "lowest loss seen: mean squared error in [0, 1], plus the prior's term"),
        Column("mse", FLOAT, "", "mean squared error of the image at that loss", "MSE"),
        Column("psnr", FLOAT, "dB", "peak signal-to-noise ratio of it", "PSNR"),
        Column("ssim", FLOAT, "", "mean structural similarity of it", "SSIM"),
        Column("latent_norm", FLOAT, "", "Euclidean length of its latent vector"),
        *CLASS_KEPT,
        *INK_KEPT,
        Column("dropped_at", INT, "steps", "steps after which halving dropped the restart; null for never"),
    )
    tables: ClassVar = {
        "curves": (
            IMAGE_ID,
            *CURVE,
        ),
        "bands": (
            IMAGE_ID,
            LABEL,
            Column("band", INT, "", "number of the ring of frequencies, from 0"),
            Column("frequency", FLOAT, "cycles/pixel", "its upper edge; the last one also has the corners above"),
            Column("error", FLOAT, "", "part of the chosen restart's mse in the band: those of an image add up to it"),
            Column("power", FLOAT, "", "mean square of the image itself in the band"),
        ),
    }

    kind: Literal["inversion"] = "inversion"
    bands: int = Field(8, ge=1, le=64)
    """rings of equal width from 0 to 1/2 cycles per pixel that the error is divided into"""

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The numbers of the restarts, and both values of ``chosen`` and, of images with classes, of ``typical``."""
        values: dict[str, tuple[Any, ...]] = {
            "restart": tuple(range(self.restarts)),
            "chosen": (False, True),
            "typical": (False, True) if trial.data.has_classes else (None,),
        }
        return values.get(column)
