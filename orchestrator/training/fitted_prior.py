"""A generator with learned latent vectors: samples are drawn from the Gaussian that is fitted to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_AT_ONCE = 65_536
_RIDGE = 1e-6
"""Share of the mean variance that is added to each coordinate's variance: the covariance of latent vectors that lie in
a plane does not have full rank."""


class FittedPrior(nn.Module):
    """Maps N(0, I) to the Gaussian with mean ``mean`` and covariance ``factor factor'``, and this one to images.

    Bojanowski et al., arXiv 1707.05776, section 3.3. ``made_of`` is the generator of the learned latent vectors.
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
        """The vectors (n, latent_dim) ~ N(0, I) that ``forward`` maps to these learned vectors: the inverse map."""
        solved: Tensor = torch.linalg.solve_triangular(self.factor, (learned - self.mean).T, upper=False)
        return solved.T

    @torch.no_grad()
    def fit(self, learned: Tensor) -> None:
        """Fit the mean and the covariance of learned vectors (n, latent_dim), in double precision, part by part.

        If the vectors are not finite, nothing changes: the loss is not finite either, and the step loop reports it.
        """
        mean = learned.mean(0, dtype=torch.float64)
        squares = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=learned.device)
        for rows in torch.split(learned, _ROWS_AT_ONCE):
            centred = rows.double() - mean
            squares.addmm_(centred.T, centred)
        covariance = squares / len(learned)
        if not covariance.isfinite().all():
            return
        ridge = _RIDGE * covariance.diagonal().mean() + torch.finfo(torch.float32).tiny
        covariance.diagonal().add_(ridge)
        self.mean.copy_(mean)
        self.factor.copy_(torch.linalg.cholesky(covariance))
