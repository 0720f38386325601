"""Relativistic average least squares GAN, Jolicoeur-Martineau, arXiv 1807.00734, appendix D."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.objectives.adversarial import Adversarial

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class Ralsgan(Adversarial):
    """D scores real images 1 above the mean of generated ones, and generated images 1 below the mean of real ones."""

    kind: Literal["ralsgan"]
    relativistic: ClassVar[bool] = True

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Half of mean (C_r - mean C_f - 1)^2 plus mean (C_f - mean C_r + 1)^2."""
        return _relative_loss(real.scores, fake.scores)

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """The same with the roles swapped; both terms count, since mean C_f is in each."""
        assert real is not None
        return _relative_loss(fake.scores, real.scores)


def _relative_loss(above: Tensor, below: Tensor) -> Tensor:
    return 0.5 * ((above - below.mean() - 1).square().mean() + (below - above.mean() + 1).square().mean())
