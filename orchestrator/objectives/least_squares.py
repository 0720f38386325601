"""Least squares GAN: Mao et al., arXiv 1611.04076, equation 9 with (a, b, c) = (0, 1, 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.objectives.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


class LeastSquares(Objective):
    """Raw scores are pulled to 1 on real and 0 on generated images; the gradient in a score F is F - 1."""

    kind: Literal["least_squares"]

    def discriminator(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """Mean of half the squared distance of real scores to 1 plus that of generated scores to 0."""
        return 0.5 * (d_real - 1).square().mean() + 0.5 * d_fake.square().mean()

    def generator(self, d_fake: Tensor) -> Tensor:
        """Mean of half the squared distance of generated scores to 1."""
        return 0.5 * (d_fake - 1).square().mean()
