"""The two objectives of the original GAN: the same discriminator, two losses for the generator.

Goodfellow et al., Generative Adversarial Nets, arXiv 1406.2661, section 3 and algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar

from pydantic import AfterValidator

from orchestrator.objectives.adversarial import Adversarial
from orchestrator.objectives.labels import GeneratorLabels, Labels

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext

AnyLabels = TypeVar("AnyLabels", bound=Labels)


def _probabilities(labels: AnyLabels) -> AnyLabels:
    if outside := labels.outside(0.0, 1.0):
        given = " and ".join(f"{name} {list(label)}" for name, label in outside.items())
        raise ValueError(f"got {given}, expected probabilities from 0 to 1")
    return labels


Probabilities = Annotated[Labels, AfterValidator(_probabilities)]
"""Labels of a cross-entropy."""
GeneratorProbabilities = Annotated[GeneratorLabels, AfterValidator(_probabilities)]
"""The same where the generator's loss is a cross-entropy with a label, too."""


def cross_entropy(scores: Tensor, label: float | Tensor) -> Tensor:
    """-t log sigma(F) - (1 - t) log(1 - sigma(F)), for scores F (n,) and labels t in [0, 1], a number or (n,)."""
    from torch.nn.functional import softplus

    if isinstance(label, float) and label in (0.0, 1.0):  # the other term is 0, at the price of four launches
        return softplus(-scores) if label else softplus(scores)
    return label * softplus(-scores) + (1 - label) * softplus(scores)


class BinaryCrossEntropy(Adversarial):
    """The discriminator is a logistic classifier of real (1) against generated (0) images."""

    labels: Probabilities = Labels()
    """targets of the scores, in [0, 1]"""
    logistic: ClassVar[bool] = True

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """Mean cross-entropy of real scores plus that of generated ones; softplus(-F_r) + softplus(F_f) by default."""
        real_labels, fake_labels = self.labels.draw(real.scores, update.noise)
        return cross_entropy(real.scores, real_labels).mean() + cross_entropy(fake.scores, fake_labels).mean()


class Saturating(BinaryCrossEntropy):
    """The minimax game. The gradient in a score F is -sigma(F): it vanishes if D is sure that an image is generated."""

    kind: Literal["saturating"]

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Mean of log(1 - sigma(F_f)) = -softplus(F_f); unbounded below."""
        from torch.nn.functional import softplus

        return -softplus(fake.scores).mean()


class NonSaturating(BinaryCrossEntropy):
    """The generator maximises log D. The gradient in a score F is -sigma(-F): near -1 if D is sure."""

    kind: Literal["non_saturating"]
    labels: GeneratorProbabilities = GeneratorLabels()
    """targets of the scores, in [0, 1]"""

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """Mean cross-entropy of generated scores against the generator's label; softplus(-F_f) for the label 1."""
        return cross_entropy(fake.scores, self.labels.draw_generator(fake.scores, update.noise)).mean()
