"""Relativistic standard GAN, Jolicoeur-Martineau, arXiv 1807.00734, equations 6 and 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.objectives.adversarial import Adversarial

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class Rsgan(Adversarial):
    """Each real image is compared with one generated image: D scores the real one higher, G the generated one."""

    kind: Literal["rsgan"]
    relativistic: ClassVar[bool] = True

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean of softplus(-(C_r - C_f)) over pairs."""
        from torch.nn.functional import softplus

        return softplus(fake.scores - real.scores).mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Mean of softplus(-(C_f - C_r)) over pairs."""
        from torch.nn.functional import softplus

        assert real is not None
        return softplus(real.scores - fake.scores).mean()
