"""The adversarial Wasserstein autoencoder: Tolstikhin et al., arXiv 1711.01558, algorithm 1."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.objectives.binary_cross_entropy import cross_entropy
from orchestrator.objectives.wasserstein_autoencoder import WassersteinAutoencoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


class WaeAdversarial(WassersteinAutoencoder):
    """A discriminator of latent vectors separates draws from N(0, I) from codes; the encoder plays against it.

    Its scores are logits. The encoder's penalty is the non-saturating loss, as in the authors' code.
    """

    kind: Literal["wae_adversarial"]
    critic_width: int = Field(512, ge=1, le=65536)
    """numbers in each hidden layer of the discriminator of latent vectors"""
    critic_layers: int = Field(4, ge=1, le=64)
    """its hidden layers"""

    ignores: ClassVar[tuple[str, ...]] = ("d_steps", "g_steps", "unrolled_steps", "noise_epochs", "augmentation")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Also the discriminator's loss and scores: draws from N(0, I) are real, codes are fake."""
        return *super().metrics, "d_loss", "d_real", "d_fake", "d_real_probability", "d_fake_probability"

    def critic(self, latent_dim: int) -> nn.Module:
        """Linear layers with ReLU between them: latent vectors (n, latent_dim) to logits (n,)."""
        from torch import nn

        layers: list[nn.Module] = []
        for before, after in self._layers(latent_dim):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers[:-1], nn.Flatten(0))

    def multiply_adds(self, latent_dim: int) -> int:
        """Multiply-adds of the ``critic`` for one latent vector."""
        return sum(before * after for before, after in self._layers(latent_dim))

    def _layers(self, latent_dim: int) -> Iterable[tuple[int, int]]:
        return pairwise([latent_dim, *[self.critic_width] * self.critic_layers, 1])

    def discriminator(self, prior_scores: Tensor, code_scores: Tensor) -> Tensor:
        """Mean of softplus(-F) over draws from N(0, I) plus mean of softplus(F) over codes, of scores (n,)."""
        return cross_entropy(prior_scores, 1.0).mean() + cross_entropy(code_scores, 0.0).mean()

    def penalty(self, codes: Tensor, prior: Tensor) -> Tensor:
        """Mean of softplus(-F) over the scores of codes."""
        return cross_entropy(codes, 1.0).mean()
