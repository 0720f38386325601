"""Least squares GAN, Mao et al., arXiv 1611.04076, equation 2 with (a, b, c) = (0, 1, 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.objectives.adversarial import Adversarial
from orchestrator.objectives.labels import Labels

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class LeastSquares(Adversarial):
    """Raw scores are pulled to b on real and to a on generated images; G pulls to c: its gradient in F is F - c."""

    kind: Literal["least_squares"]
    labels: Labels = Labels()
    """b and a of the paper, as ``real`` and ``fake``"""
    target: float = 1.0
    """c: the score that the generator wants its images to have"""

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean of half the squared distance of real scores to b plus that of generated scores to a."""
        of_real, of_fake = self.labels.draw(real.scores, update.noise)
        return 0.5 * (real.scores - of_real).square().mean() + 0.5 * (fake.scores - of_fake).square().mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Mean of half the squared distance of generated scores to c."""
        return 0.5 * (fake.scores - self.target).square().mean()
