"""The hinge objective: Lim and Ye, arXiv 1705.02894; Miyato et al., arXiv 1802.05957, equations 16 and 17."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.objectives.adversarial import Adversarial

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class Hinge(Adversarial):
    """D pushes real scores up to 1 and generated ones down to -1; G's gradient in a score is -1."""

    kind: Literal["hinge"]

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean of relu(1 - F_r) plus that of relu(1 + F_f)."""
        return (1 - real.scores).relu().mean() + (1 + fake.scores).relu().mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Minus the mean score."""
        return -fake.scores.mean()
