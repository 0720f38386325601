"""The base of Wasserstein autoencoders: Tolstikhin et al., arXiv 1711.01558."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from orchestrator.objectives.reconstruction import Reconstruction

if TYPE_CHECKING:
    from torch import Tensor, nn

_LARGEST = 1e30
"""A loss times this weight does not overflow in single precision, and neither does its gradient."""


class WassersteinAutoencoder(Reconstruction):
    """An autoencoder with a penalty on all codes of a batch that pulls them towards N(0, I); section 3.

    The weight of the penalty grows by a factor at the end of every epoch, up to ``greatest``. The decoder minimises the
    reconstruction's error alone; the encoder minimises it times ``encoder_reconstruction``, plus the weighted penalty.
    """

    weight: float = Field(0.1, gt=0.0, le=_LARGEST)
    """weight of the latent penalty in the encoder's loss, in the first epoch"""
    growth: float = Field(1.0, ge=1.0, le=1000.0)
    """factor by which that weight grows from epoch to epoch"""
    greatest: float | None = Field(None, gt=0.0, le=_LARGEST)
    """where that weight stops growing"""
    encoder_reconstruction: float = Field(1.0, ge=0.0, le=1000.0)
    """weight of the reconstruction's error in the encoder's loss; in the decoder's it is 1"""

    @model_validator(mode="after")
    def _grows_upwards(self) -> WassersteinAutoencoder:
        if self.greatest is not None and self.greatest < self.weight:
            raise ValueError(f"greatest: got {self.greatest:g}, expected at least the first weight, {self.weight:g}")
        return self

    def reject_training(self, epochs: int) -> str | None:
        """Also if the weight would overflow in single precision."""
        if self.greatest is None and math.log(self.weight) + (epochs - 1) * math.log(self.growth) > math.log(_LARGEST):
            return (
                f"growth: got {self.growth:g}, by which the weight {self.weight:g} passes {_LARGEST:g} within "
                f"{epochs} epochs; set greatest"
            )
        return None

    def weight_at(self, epoch: int) -> float:
        """The penalty's weight in an epoch, counted from 0."""
        most = _LARGEST if self.greatest is None else self.greatest
        if epoch * math.log(self.growth) >= math.log(most / self.weight):
            return most
        return self.weight * self.growth**epoch

    @property
    def metrics(self) -> tuple[str, ...]:
        """Also the penalty and its weight."""
        return *super().metrics, "latent_penalty", "penalty_weight"

    def critic(self, latent_dim: int) -> nn.Module | None:
        """A discriminator of latent vectors (n, latent_dim) with raw scores (n,), or None."""
        return None

    @abstractmethod
    def penalty(self, codes: Tensor, prior: Tensor) -> Tensor:
        """The penalty on codes (n, latent_dim) of a whole batch; ``prior`` (n, latent_dim) are draws from N(0, I).

        With a ``critic``, ``codes`` are its scores of the codes (n, 1) instead.
        """
