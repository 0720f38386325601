"""Held-out images by way of their latent vectors, and how much of each comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.store.columns import FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

SHOWN = 8
"""Images in the picture of a shard."""


class Reconstruction(HeldOutEvaluation, LatentSearch):
    """G(z) for held-out images x: z = E(x) where the trial trained an encoder, else the z of the best of a search.

    So that families with and without an encoder compare on the same images; the search is that of ``inversion``.
    """

    keys: ClassVar = ("image_id",)
    columns = (
        Column("image_id", INT, "", "the image's place in the held-out set"),
        Column("label", INT, "", "the image's class; null where the set has none"),
        Column("method", STRING, "", "encoder or search: where the latent vector comes from"),
        Column("mse", FLOAT, "", "mean squared error against the image, in [0, 1]"),
        Column("psnr", FLOAT, "dB", "peak signal-to-noise ratio"),
        Column("ssim", FLOAT, "", "mean structural similarity"),
        Column("sharpness", FLOAT, "", "sharpness of what came back over the image's own; null where that is 0"),
    )

    kind: Literal["reconstruction"] = "reconstruction"

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The way to a latent vector: an encoder's or a flow's own where the trial has one, else the search."""
        own = trial.objective.family in ("autoencoding", "likelihood")
        return ("encoder" if own else "search",) if column == "method" else None
