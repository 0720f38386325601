"""Distances of a batch of codes from N(0, I), the distribution that latent vectors are drawn from.

None of them is a mean over codes: one call needs the whole batch of all processes.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def moment_penalty(codes: Tensor) -> Tensor:
    """Mean over coordinates of (mean^2 + (variance - 1)^2 + (kurtosis - 3)^2) / 3, of codes (n, d), n at least 2.

    Variance m2 and kurtosis m4 / m2^2 use central moments of the population: sums over codes are divided by n. The
    penalty ignores correlations of coordinates and their skewness. It is computed and returned in at least single
    precision.

    In the kurtosis a variance below the precision's epsilon counts as epsilon. A constant coordinate then has kurtosis
    0 and the penalty (mean^2 + 10) / 3, whose gradient is that of mean^2 / 3 only: it has no direction to spread in.
    """
    assert len(codes) >= 2, "a variance takes two codes"
    codes = codes.to(torch.promote_types(codes.dtype, torch.float32))
    mean = codes.mean(0)
    squares = (codes - mean).square()
    variance, fourth = squares.mean(0), squares.square().mean(0)
    kurtosis = fourth / variance.clamp(min=torch.finfo(codes.dtype).eps).square()
    return torch.stack((mean, variance - 1, kurtosis - 3)).square().mean()


def mmd(codes: Tensor, prior: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of codes (n, d) and prior (m, d), drawn from N(0, I); n and m at least 2.

    mean k(x_i, x_j) over i != j + mean k(y_i, y_j) over i != j - 2 mean k(x_i, y_j): the unbiased estimate, which may
    be negative. k(x, y) is the sum over ``SCALES`` s of C / (C + |x - y|^2) with C = 2 d s.

    Tolstikhin et al., arXiv 1711.01558, section 4: inverse multiquadratics; C = 2 d is the mean squared distance of two
    draws from the prior. The sum over scales is that of the authors' code, tolstikhin/wae.

    Computed in double precision, so that |x|^2 + |y|^2 - 2 x.y is accurate for codes far from the origin; returned in
    at least single precision. It takes no root, so that gradients are finite where codes coincide.
    """
    assert min(len(codes), len(prior)) >= 2, "an unbiased estimate takes two vectors of each kind"
    x, y = codes.double(), prior.double()
    estimate = _off_diagonal_mean(_kernel(x, x)) + _off_diagonal_mean(_kernel(y, y)) - 2 * _kernel(x, y).mean()
    return estimate.to(torch.promote_types(codes.dtype, torch.float32))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """k(x_i, y_j) (n, m) of x (n, d) and y (m, d)."""
    distances = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    total = torch.zeros_like(distances)
    for scale in SCALES:
        base = 2 * x.shape[1] * scale
        total = total + base / (base + distances)
    return total


def _off_diagonal_mean(kernel: Tensor) -> Tensor:
    """Mean of a kernel matrix (n, n) over the pairs of two different vectors."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
