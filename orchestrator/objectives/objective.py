"""What every adversarial objective answers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Settings):
    """Settings of an adversarial objective, which compute its two losses from the discriminator's raw scores.

    Scores are (n,) tensors without a sigmoid; losses are scalars, means over the batch. Nothing is
    differentiated or logged here.
    """

    kind: str
    """adversarial objective"""

    @abstractmethod
    def discriminator(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """Loss that the discriminator minimises; ``d_fake`` are scores of images detached from the generator."""

    @abstractmethod
    def generator(self, d_fake: Tensor) -> Tensor:
        """Loss that the generator minimises."""
