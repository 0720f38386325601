"""The Wasserstein autoencoder with the maximum mean discrepancy: Tolstikhin et al., arXiv 1711.01558, algorithm 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.objectives.wasserstein_autoencoder import WassersteinAutoencoder

if TYPE_CHECKING:
    from torch import Tensor


class WaeMmd(WassersteinAutoencoder):
    """Codes are compared with draws from N(0, I) by a sum of inverse multiquadratic kernels."""

    loss_operations: ClassVar[int] = 230

    kind: Literal["wae_mmd"]

    def penalty(self, codes: Tensor, prior: Tensor) -> Tensor:
        """The unbiased estimate of the squared discrepancy, which may be negative."""
        from orchestrator.objectives._latent_penalties import mmd

        return mmd(codes, prior)
