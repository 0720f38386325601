"""Ways between latent vectors against scipy's, their limits, and what is met on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp

from orchestrator.evaluations.interpolation.paths import (
    SHARES,
    classes_met,
    detour,
    linear,
    path_length,
    slerp,
    third_classes,
)


def vectors(n: int = 5, d: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randn(n, d, generator=random, dtype=torch.float64) for _ in range(2))
    return first, second


def test_shares_are_eighths_from_the_second_to_the_first() -> None:
    assert SHARES == (0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1)
    first, second = vectors()
    for way in (linear, slerp):
        torch.testing.assert_close(way(first, second)[:, 0], second)
        torch.testing.assert_close(way(first, second)[:, -1], first)
        torch.testing.assert_close(way(first, second), way(second, first).flip(1))


def test_linear_is_its_formula() -> None:
    first, second = vectors()
    torch.testing.assert_close(linear(first, second, [0.25])[:, 0], 0.25 * first + 0.75 * second)


def test_spherical_directions_are_those_of_scipy_and_lengths_grow_linearly() -> None:
    first, second = vectors()
    path = slerp(first, second)
    for one, z1, z2 in zip(path, first, second, strict=True):
        expected = geometric_slerp((z2 / z2.norm()).numpy(), (z1 / z1.norm()).numpy(), np.array(SHARES))
        np.testing.assert_allclose((one / one.norm(dim=1, keepdim=True)).numpy(), expected, atol=1e-12)
        shares = torch.tensor(SHARES, dtype=torch.float64)
        torch.testing.assert_close(one.norm(dim=1), shares * z1.norm() + (1 - shares) * z2.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-6, 1e-3])
def test_between_parallel_vectors_it_is_linear(tilt: float, dtype: torch.dtype) -> None:
    first, other = (x.to(dtype) for x in vectors())
    second = 2 * first + tilt * other
    tolerance = max(5 * tilt, 20 * torch.finfo(dtype).eps)
    path = slerp(first, second)
    torch.testing.assert_close(path, linear(first, second), rtol=0, atol=tolerance)
    ends = torch.stack([second, first], 1)
    torch.testing.assert_close(path[:, [0, -1]], ends, rtol=0, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tilt", [0.0, 1e-12, 1e-9, 1e-7, 1e-5])
def test_between_opposite_vectors_it_is_half_a_circle(tilt: float, dtype: torch.dtype) -> None:
    first, other = (x.to(dtype) for x in vectors())
    second = -first + tilt * other
    path = slerp(first, second)
    assert path.isfinite().all()
    torch.testing.assert_close(path[:, 0], second, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(path[:, -1], first, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(path.norm(dim=2), first.norm(dim=1, keepdim=True).expand(-1, 9), rtol=1e-4, atol=1e-4)
    # equal steps of an eighth of half a turn each
    unit = path / path.norm(dim=2, keepdim=True)
    cosines = (unit[:, 1:] * unit[:, :-1]).sum(2)
    torch.testing.assert_close(cosines, torch.full_like(cosines, math.cos(math.pi / 8)), rtol=1e-4, atol=1e-4)


def test_a_vector_of_length_zero_has_the_others_direction() -> None:
    first, _ = vectors()
    torch.testing.assert_close(slerp(first, torch.zeros_like(first)), linear(first, torch.zeros_like(first)))
    torch.testing.assert_close(slerp(torch.zeros_like(first), first), linear(torch.zeros_like(first), first))
    assert slerp(torch.zeros_like(first), torch.zeros_like(first)).eq(0).all()


def test_a_path_is_as_long_as_its_steps() -> None:
    first, second = vectors()
    straight = linear(first, second)
    torch.testing.assert_close(path_length(straight), (first - second).norm(dim=1))
    torch.testing.assert_close(detour(straight), torch.ones(5, dtype=torch.float64))
    # half a circle of radius r in 1000 steps, against pi r
    half = slerp(first, -first, [share / 1000 for share in range(1001)])
    torch.testing.assert_close(path_length(half), math.pi * first.norm(dim=1), rtol=1e-5, atol=0)
    torch.testing.assert_close(detour(half), torch.full((5,), math.pi / 2, dtype=torch.float64), rtol=1e-5, atol=0)
    assert detour(first[:, None].expand(-1, 3, -1)).isnan().all()


def test_classes_are_met_in_their_order() -> None:
    paths = torch.tensor([[3, 3, 8, 8, 5], [1, 1, 1, 1, 1], [7, 2, 7, 2, 9], [4, 4, 4, 9, 9]])
    assert classes_met(paths) == [[3, 8, 5], [1], [7, 2, 7, 2, 9], [4, 9]]
    assert third_classes(paths) == [[8], [], [2], []]
