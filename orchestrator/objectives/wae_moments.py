"""A Wasserstein autoencoder whose penalty is on the moments of each coordinate of the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.objectives.wasserstein_autoencoder import WassersteinAutoencoder

if TYPE_CHECKING:
    from torch import Tensor


class WaeMoments(WassersteinAutoencoder):
    """Mean, variance and kurtosis of each coordinate are pulled to 0, 1 and 3; the weight doubles every epoch."""

    loss_operations: ClassVar[int] = 50

    kind: Literal["wae_moments"]
    weight: float = Field(0.001, gt=0.0, le=1e30)
    """weight of the latent penalty in the encoder's loss, in the first epoch"""
    growth: float = Field(2.0, ge=1.0, le=1000.0)
    """factor by which that weight grows from epoch to epoch"""
    greatest: float | None = Field(2.048, gt=0.0, le=1e30)
    """where that weight stops growing"""

    def penalty(self, codes: Tensor, prior: Tensor) -> Tensor:
        """Mean over coordinates of (mean^2 + (variance - 1)^2 + (kurtosis - 3)^2) / 3; ``prior`` is not used."""
        from orchestrator.objectives._latent_penalties import moment_penalty

        return moment_penalty(codes)
