"""Wasserstein GAN with gradient penalty, Gulrajani et al., arXiv 1704.00028, equation 3 and algorithm 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.objectives.adversarial import Adversarial, Penalty

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class WganGp(Adversarial):
    """A critic whose gradient norm is kept near 1 between real and generated images; G's gradient in a score is -1."""

    kind: Literal["wgan_gp"]
    penalty: float = Field(10.0, gt=0.0)
    """weight of (norm - 1)^2, the norm being that of the score's gradient between a real and a generated image"""

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean generated score minus mean real score."""
        return fake.scores.mean() - real.scores.mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Minus the mean score."""
        return -fake.scores.mean()

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """The paper's two-sided penalty, and R1 if it is set."""
        return (*super().penalties, Penalty("between", self.penalty, 1.0))
