"""The interface of every objective."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

Family = Literal["adversarial", "autoencoding", "free_latents", "likelihood"]
"""What is trained: a generator against a discriminator; an encoder with a generator; a generator with a learned latent
vector for each image; an invertible network by the exact likelihood."""


class Objective(Settings):
    """Settings of the objective that a trial minimises; its ``family`` decides how it is trained.

    Losses are scalars over the whole batch of all processes. Objectives neither differentiate nor log.
    """

    kind: str
    """what is minimised"""

    family: ClassVar[Family]
    trains: ClassVar[frozenset[str]]
    """Networks that the model must have."""
    ignores: ClassVar[tuple[str, ...]] = (
        "d_steps", "g_steps", "d_optimizer", "unrolled_steps", "noise_epochs", "augmentation",
    )  # fmt: skip
    """Settings of ``training`` that have no effect for this family, and must be left at their defaults."""
    full_precision: ClassVar[bool] = False
    """Whether it needs single precision on every device."""
    loss_operations: ClassVar[int] = 0
    """Operations of its loss of a batch, forwards and backwards, beside the few that every loss has; see ``cost``."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of a step's metrics, which are columns of metrics/."""

    @property
    def learns_from_logits(self) -> bool:
        """Whether the generator learns only through a discriminator's logits."""
        return False

    def reject_training(self, epochs: int) -> str | None:
        """Why these settings do not fit a trial of ``epochs`` epochs, or None where they do."""
        return None

    def initial_state(self) -> dict[str, Tensor]:
        """The objective's state before the first step: scalar tensors on the CPU; most objectives have none."""
        return {}
