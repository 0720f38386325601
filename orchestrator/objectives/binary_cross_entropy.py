"""The two objectives of the original GAN: the same discriminator, two losses for the generator.

Goodfellow et al., Generative Adversarial Nets, arXiv 1406.2661, section 3 and algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.objectives.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


class BinaryCrossEntropy(Objective):
    """The discriminator is a logistic classifier of real (1) against generated (0) images."""

    def discriminator(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """Mean of softplus(-F_r) + softplus(F_f), which is the cross-entropy with sigmoid outputs."""
        from torch.nn.functional import softplus

        return softplus(-d_real).mean() + softplus(d_fake).mean()


class Saturating(BinaryCrossEntropy):
    """The minimax game. The gradient in a score F is -sigma(F): it vanishes where D is sure of a fake."""

    kind: Literal["saturating"]

    def generator(self, d_fake: Tensor) -> Tensor:
        """Mean of log(1 - sigma(F_f)) = -softplus(F_f); unbounded below."""
        from torch.nn.functional import softplus

        return -softplus(d_fake).mean()


class NonSaturating(BinaryCrossEntropy):
    """The generator maximises log D. The gradient in a score F is -sigma(-F): near -1 where D is sure."""

    kind: Literal["non_saturating"]

    def generator(self, d_fake: Tensor) -> Tensor:
        """Mean of -log sigma(F_f) = softplus(-F_f)."""
        from torch.nn.functional import softplus

        return softplus(-d_fake).mean()
