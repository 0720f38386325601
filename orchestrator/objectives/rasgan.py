"""Relativistic average GAN with cross-entropy, Jolicoeur-Martineau, arXiv 1807.00734, section 4.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.objectives.adversarial import Adversarial
from orchestrator.objectives.binary_cross_entropy import GeneratorProbabilities, cross_entropy
from orchestrator.objectives.labels import GeneratorLabels

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class Rasgan(Adversarial):
    """Each image's score relative to the mean score of the other kind; gradients flow through the means as well."""

    kind: Literal["rasgan"]
    labels: GeneratorProbabilities = GeneratorLabels()
    """targets of the scores, in [0, 1]"""
    relativistic: ClassVar[bool] = True
    loss_operations: ClassVar[int] = 25

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Half of the cross-entropies of C_r - mean C_f against real labels and of C_f - mean C_r against fake ones."""
        real_labels, fake_labels = self.labels.draw(real.scores, update.noise)
        real_relative, fake_relative = real.scores - fake.scores.mean(), fake.scores - real.scores.mean()
        return 0.5 * (
            cross_entropy(real_relative, real_labels).mean() + cross_entropy(fake_relative, fake_labels).mean()
        )

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """The same with the roles swapped: the generator's label for generated images, 0 for real; both terms count."""
        assert real is not None
        real_relative, fake_relative = real.scores - fake.scores.mean(), fake.scores - real.scores.mean()
        label = self.labels.draw_generator(fake.scores, update.noise)
        return 0.5 * (cross_entropy(fake_relative, label).mean() + cross_entropy(real_relative, 0.0).mean())
