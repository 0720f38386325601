"""The interface of every adversarial objective: a generator against a discriminator."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from orchestrator.objectives.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput


class UpdateContext(NamedTuple):
    """The inputs of a loss beside the discriminator's outputs.

    ``state`` is the objective's own, from ``initial_state`` on. ``noise`` is the source of its random numbers, the same
    on every process of a trial.
    """

    state: Mapping[str, Tensor]
    noise: torch.Generator


class Penalty(NamedTuple):
    """A penalty on the norm of the gradient of an image's score in that image: the mean of weight * (norm - target)^2.

    The images are real ones, generated (``fake``) ones, or ``between`` a real and a generated one.
    """

    at: Literal["real", "fake", "between"]
    weight: float
    target: float


class Adversarial(Objective):
    """Settings of an adversarial objective; they compute its two losses from the discriminator's outputs."""

    feature_matching: float = Field(0.0, ge=0.0)
    """weight of the mean squared difference of mean features of real and generated images in the generator's loss"""
    r1: float = Field(0.0, ge=0.0)
    """gamma of R1: gamma/2 times the squared norm of the score's gradient in a real image, added to D's loss"""
    r2: float = Field(0.0, ge=0.0)
    """gamma of R2: the same at generated images"""

    family: ClassVar[Literal["adversarial"]] = "adversarial"
    trains: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    ignores: ClassVar[tuple[str, ...]] = ()
    later: ClassVar[frozenset[str]] = frozenset({"r2"})

    judges: ClassVar[Literal["scores", "reconstruction"]] = "scores"
    """The kind of discriminator scores that it needs: raw scores or reconstruction errors."""
    logistic: ClassVar[bool] = False
    """Whether sigma(score) is the discriminator's probability that an image is real."""
    relativistic: ClassVar[bool] = False
    """Whether the generator's loss uses the scores of real images too."""
    fresh_latents: ClassVar[bool] = False
    """Whether the generator's first update needs latent vectors other than the discriminator's last."""
    state_metrics: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers in its state; all of them are metrics of a step."""

    @abstractmethod
    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """The discriminator's loss; ``fake`` are the outputs for images detached from the generator."""

    @abstractmethod
    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """The generator's loss; ``real`` is given if ``needs_real``."""

    def generator_loss(
        self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext
    ) -> Tensor:
        """The generator's loss with feature matching, which any objective may add."""
        loss = self.generator(fake, real, update)
        if self.feature_matching:
            assert real is not None
            loss = loss + self.feature_matching * mean_feature_distance(real.features, fake.features)
        return loss

    @property
    def metrics(self) -> tuple[str, ...]:
        """Losses, scores and gradients, and the objective's own metrics."""
        probabilities = ("d_real_probability", "d_fake_probability") if self.judges == "scores" else ()
        penalty = ("d_penalty",) if self.penalties else ()
        gradients = ("g_score_gradient", "g_image_gradient", "g_grad_norm")
        return "d_loss", "g_loss", "d_real", "d_fake", *probabilities, *gradients, *penalty, *self.state_metrics

    @property
    def learns_from_logits(self) -> bool:
        """Whether scores are logits and no features are matched."""
        return self.logistic and not self.feature_matching

    @property
    def needs_real(self) -> bool:
        """Whether the generator's update runs the discriminator on real images as well."""
        return self.relativistic or self.feature_matching > 0

    @property
    def needs_features(self) -> bool:
        """Whether a loss uses features; if not, they need not be gathered from all processes."""
        return self.feature_matching > 0

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """Penalties in the discriminator's loss: R1 and R2, Mescheder et al., arXiv 1801.04406, equations 9 and 10."""
        r1 = (Penalty("real", self.r1 / 2, 0.0),) if self.r1 else ()
        r2 = (Penalty("fake", self.r2 / 2, 0.0),) if self.r2 else ()
        return r1 + r2

    def reject(self, judges: str, *, batch_norm: bool) -> str | None:
        """Why a discriminator cannot be trained this way, or None where it can.

        ``judges`` is the kind of its scores; ``batch_norm`` is whether they depend on the other images of a batch.
        """
        if self.judges != judges:
            wanted = "is an autoencoder" if self.judges == "reconstruction" else "scores images, not an autoencoder"
            return f"{self.kind} needs a discriminator that {wanted}; choose another model.kind"
        if self.penalties and batch_norm:
            return (
                f"{self.kind} with a gradient penalty needs scores that do not depend on the other images of a batch; "
                "set model.discriminator_norm to layer or none"
            )
        return None

    def next_state(self, update: UpdateContext, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The state after a step; ``real`` are the scores (n,) of the last D update, ``fake`` those of G's, of all."""
        return dict(update.state)


def mean_feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Feature matching: |mean of f(x) - mean of f(G(z))|^2 / f over features (n, f); no gradient through the real side.

    Salimans et al., arXiv 1606.03498, section 3.1. Each feature's mean over images comes first, then the mean over
    features of the squared differences, as in the authors' code (openai/improved-gan): the paper's norm, a sum, would
    grow with the discriminator and soon be hundreds of times a cross-entropy.
    """
    return (real.detach().mean(0) - fake.mean(0)).square().mean()
