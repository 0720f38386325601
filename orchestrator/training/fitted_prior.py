"""A generator whose latent vectors came to lie somewhere: samples are drawn from the Gaussian that fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_AT_ONCE = 65_536
_LEAST = 1e-6
"""Share of the mean variance that is added to each coordinate's: where latent vectors lie in a plane there is no
Gaussian of full rank."""


class FittedPrior(nn.Module):
    """N(0, I) is mapped to the Gaussian of mean ``mean`` and covariance ``factor factor'``, and then to images.

    Bojanowski et al., arXiv 1707.05776, section 3.3, draw samples so. ``made_of`` takes latent vectors as they were
    learned.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, made_of: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.made_of = made_of
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("factor", torch.eye(latent_dim))

    def forward(self, latents: Tensor) -> Tensor:
        """Images (n, c, h, w) in [-1, 1] of latent vectors (n, latent_dim) ~ N(0, I)."""
        return self.made_of(self.mean + latents @ self.factor.T)  # type: ignore[no-any-return]

    def standardized(self, learned: Tensor) -> Tensor:
        """The vectors (n, latent_dim) that ``forward`` maps to these learned ones before it makes images of them."""
        solved: Tensor = torch.linalg.solve_triangular(self.factor, (learned - self.mean).T, upper=False)
        return solved.T

    @torch.no_grad()
    def fit(self, learned: Tensor) -> None:
        """Take the mean and the covariance of learned vectors (n, latent_dim), in double precision, part by part.

        Of vectors that are not finite none are taken: the loss that made them so is told of soon enough.
        """
        mean = learned.mean(0, dtype=torch.float64)
        squares = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=learned.device)
        for rows in torch.split(learned, _ROWS_AT_ONCE):
            centred = rows.double() - mean
            squares.addmm_(centred.T, centred)
        covariance = squares / len(learned)
        if not covariance.isfinite().all():
            return
        ridge = _LEAST * covariance.diagonal().mean() + torch.finfo(torch.float32).tiny
        covariance.diagonal().add_(ridge)
        self.mean.copy_(mean)
        self.factor.copy_(torch.linalg.cholesky(covariance))
