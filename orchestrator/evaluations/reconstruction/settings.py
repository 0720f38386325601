"""Reconstruction of held-out images from their latent vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.evaluations.held_out import CLASS_KEPT, IMAGE_ID, INK_KEPT, LABEL, TYPICALITY, HeldOutEvaluation
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.store.columns import FLOAT, STRING, Column

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

SHOWN = 8
"""Images in the picture of a shard."""


class Reconstruction(HeldOutEvaluation, LatentSearch):
    """G(z) for held-out images x: z = E(x) if the trial trained an encoder, else the best z of a search.

    Families with and without an encoder are thus compared on the same images. The search is that of ``inversion``.
    """

    version = 2
    splits: ClassVar = ("train", "test")
    classifies: ClassVar = True
    keys: ClassVar = ("image_id",)
    columns = (
        IMAGE_ID,
        LABEL,
        *TYPICALITY,
        Column("method", STRING, "", "encoder or search: where the latent vector comes from"),
        Column("mse", FLOAT, "", "mean squared error against the image, in [0, 1]", "MSE"),
        Column("psnr", FLOAT, "dB", "peak signal-to-noise ratio", "PSNR"),
        Column("ssim", FLOAT, "", "mean structural similarity", "SSIM"),
        Column(
            "sharpness",
            FLOAT,
            "",
            "sharpness of what came back over the image's own; null where that is 0",
            "sharpness over its own",
        ),
        *CLASS_KEPT,
        *INK_KEPT,
    )

    kind: Literal["reconstruction"] = "reconstruction"

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The source of latent vectors: an encoder or a flow if the trial has one, else the search; ``typical``."""
        encodes = trial.objective.family in ("autoencoding", "likelihood")
        values: dict[str, tuple[Any, ...]] = {
            "method": ("encoder" if encodes else "search",),
            "typical": (False, True) if trial.data.has_classes else (None,),
        }
        return values.get(column)
