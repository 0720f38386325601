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
    """D pulls raw scores to b on real and to a on generated images; G pulls them to c: its gradient in F is F - c."""

    kind: Literal["least_squares"]
    labels: Labels = Labels()
    """b and a of the paper, as ``real`` and ``fake``"""
    target: float = 1.0
    """c: the score that the generator wants its images to have"""

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean of half the squared distance of real scores to b plus that of generated scores to a."""
        real_labels, fake_labels = self.labels.draw(real.scores, update.noise)
        return 0.5 * (real.scores - real_labels).square().mean() + 0.5 * (fake.scores - fake_labels).square().mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Mean of half the squared distance of generated scores to c."""
        return 0.5 * (fake.scores - self.target).square().mean()
