"""What every objective answers, whatever it trains."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

Family = Literal["adversarial", "autoencoding", "free_latents", "likelihood"]
"""Ways of training: a generator against a discriminator; an encoder with a generator; a generator with a latent vector
of its own for each image; an invertible network by the exact likelihood."""


class Objective(Settings):
    """Settings of what a trial minimises; the ``family`` says by which way of training.

    Losses are scalars, of the whole batch of all processes. Nothing is differentiated or logged here.
    """

    kind: str
    """what is minimised"""

    family: ClassVar[Family]
    trains: ClassVar[frozenset[str]]
    """Networks that the model must have."""
    ignores: ClassVar[tuple[str, ...]] = ("d_steps", "g_steps", "d_optimizer", "unrolled_steps", "noise_epochs")
    """Settings of ``training`` that mean nothing to this family, and must be left as they are by default."""
    full_precision: ClassVar[bool] = False
    """Whether it takes single precision, on every device."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """What a step measures, as columns of metrics/."""

    @property
    def by_scores(self) -> bool:
        """Whether the generator learns through a discriminator's logits alone."""
        return False

    def reject_training(self, epochs: int) -> str | None:
        """Why a trial of so many epochs cannot be, or None where it can."""
        return None

    def initial_state(self) -> dict[str, Tensor]:
        """What the objective keeps from step to step: numbers as tensors () on the CPU; most keep nothing."""
        return {}
