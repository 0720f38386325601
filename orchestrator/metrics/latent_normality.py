"""Normality of codes: their distribution function and its distance from the standard normal one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from orchestrator.store.columns import CDF_POINTS


def cdf(codes: Tensor, points: Tensor) -> Tensor:
    """Share (p,) float64 of all numbers of codes (n, d) that are at or below each of the points (p,)."""
    ordered = codes.double().flatten().sort().values
    return torch.searchsorted(ordered, points.to(ordered), right=True).double() / len(ordered)


def ks_distance(codes: Tensor) -> float:
    """Kolmogorov-Smirnov distance sup |F - Phi| of all numbers of codes (n, d) pooled, from 0 to 1.

    F is the share of numbers at or below a point, Phi the standard normal distribution function. Exact, in float64:
    the largest of the distances on both sides of each jump of F.
    """
    return mean_ks(codes.reshape(-1, 1))


def mean_ks(codes: Tensor) -> float:
    """Mean over coordinates of the ``ks_distance`` of each.

    For normal codes (n, d) it is about sqrt(pi / 2) ln 2 / sqrt(n), the mean of Kolmogorov's distribution.
    """
    n = len(codes)
    normal = torch.special.ndtr(codes.double().sort(dim=0).values)
    shares = torch.arange(n + 1, dtype=normal.dtype, device=normal.device)[:, None] / n
    return float(torch.maximum(shares[1:] - normal, normal - shares[:-1]).amax(0).mean())


class LatentNormality(NamedTuple):
    """The metrics of codes: ``ks_distance``, ``mean_ks`` and ``cdf`` at ``CDF_POINTS``."""

    latent_ks: float
    latent_ks_each: float
    latent_cdf: list[float]


def measure_codes(codes: Tensor) -> LatentNormality:
    """All metrics of codes (n, d) that are computed during training."""
    shares = cdf(codes, torch.tensor(CDF_POINTS, dtype=torch.float64))
    return LatentNormality(ks_distance(codes), mean_ks(codes), shares.tolist())
