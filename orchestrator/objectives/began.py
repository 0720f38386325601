"""Boundary equilibrium GAN, Berthelot et al., arXiv 1703.10717."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from orchestrator.objectives.adversarial import Adversarial

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.discriminator_output import DiscriminatorOutput
    from orchestrator.objectives.adversarial import UpdateContext


class Began(Adversarial):
    """An autoencoder for D, and a controller k that keeps its error on generated images at gamma times that on real.

    Errors are means over all processes' images, so that k is the same on each process.
    """

    kind: Literal["began"]
    gamma: float = Field(0.5, gt=0.0, le=1.0)
    """ratio of the errors on generated and on real images: low for quality, high for diversity"""
    lambda_k: float = Field(0.001, gt=0.0)
    """gain of the controller"""
    judges: ClassVar[Literal["scores", "reconstruction"]] = "reconstruction"
    fresh_latents: ClassVar[bool] = True
    state_metrics: ClassVar[tuple[str, ...]] = ("k", "m_global", "loss_ratio")

    def discriminator(self, real: DiscriminatorOutput, fake: DiscriminatorOutput, update: UpdateContext) -> Tensor:
        """l(x) - k l(G(z_D)), with l the mean reconstruction error; section 3.3."""
        return real.scores.mean() - update.state["k"].to(fake.scores.dtype) * fake.scores.mean()

    def generator(self, fake: DiscriminatorOutput, real: DiscriminatorOutput | None, update: UpdateContext) -> Tensor:
        """l(G(z_G)), with latent vectors drawn for this update."""
        return fake.scores.mean()

    def initial_state(self) -> dict[str, Tensor]:
        """k_0 = 0; the two other metrics have no value before the first step."""
        import torch

        values = (0.0, torch.nan, torch.nan)
        return {
            name: torch.tensor(value, dtype=torch.float64)
            for name, value in zip(self.state_metrics, values, strict=True)
        }

    def next_state(self, update: UpdateContext, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The next k = k + lambda_k (gamma l(x) - l(G(z_G))), clamped to [0, 1], M_global and the loss ratio.

        M_global = l(x) + |gamma l(x) - l(G(z_G))|; the ratio l(G(z_G)) / l(x) tends to gamma.
        """
        real_error, fake_error = real.mean().double(), fake.mean().double()
        balance = self.gamma * real_error - fake_error
        k = (update.state["k"] + self.lambda_k * balance).clamp(0.0, 1.0)
        return {"k": k, "m_global": real_error + balance.abs(), "loss_ratio": fake_error / real_error}
