"""FID, KID and PRDC against libraries, closed forms and direct sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from orchestrator.metrics.fid import Moments, frechet_distance, moments
from orchestrator.metrics.kid import kernel_distance
from orchestrator.metrics.prdc import prdc


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def sample(random: torch.Generator, n: int, f: int, shift: float = 0.0) -> torch.Tensor:
    mixed = torch.randn(n, f, generator=random, dtype=torch.float64) @ torch.randn(
        f, f, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    return mixed + shift


def test_the_frechet_distance_is_that_of_scipys_matrix_root(random) -> None:
    real, fake = sample(random, 400, 20), sample(random, 300, 20, 0.3) * 1.2
    ours = frechet_distance(moments(real), moments(fake))
    s1, s2 = np.cov(real.numpy(), rowvar=False), np.cov(fake.numpy(), rowvar=False)
    root = linalg.sqrtm(s1 @ s2).real
    difference = real.numpy().mean(0) - fake.numpy().mean(0)
    theirs = difference @ difference + np.trace(s1) + np.trace(s2) - 2 * np.trace(root)
    assert ours == pytest.approx(theirs, rel=1e-8)
    assert ours > 1


def test_of_independent_features_it_is_a_sum_over_them() -> None:
    """|mu1 - mu2|^2 + sum (s1 - s2)^2."""
    means = torch.tensor([[0.0, 1.0, -2.0], [0.5, 1.0, 2.0]], dtype=torch.float64)
    deviations = torch.tensor([[1.0, 2.0, 0.0], [3.0, 2.0, 0.5]], dtype=torch.float64)
    one, other = (Moments(mean, torch.diag(s**2)) for mean, s in zip(means, deviations, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(float(expected), rel=1e-12)


def test_it_is_zero_of_equal_samples_symmetric_and_blind_to_rotation(random) -> None:
    real, fake = sample(random, 200, 8), sample(random, 200, 8, 1.0)
    one, other = moments(real), moments(fake)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-10)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=random, dtype=torch.float64)).Q
    turned = frechet_distance(moments(real @ rotation), moments(fake @ rotation))
    assert turned == pytest.approx(frechet_distance(one, other), rel=1e-9)


def test_features_that_never_vary_and_fewer_images_than_features_are_no_trouble(random) -> None:
    real, fake = (torch.nn.functional.pad(sample(random, 5, 12), (0, 3)) for _ in range(2))
    distance = frechet_distance(moments(real), moments(fake))
    assert math.isfinite(distance)
    assert distance > 0


def test_the_kernel_distance_is_the_sum_over_all_pairs(random) -> None:
    real, fake = sample(random, 40, 6), sample(random, 30, 6, 0.5)
    within_real, within_fake, across = (
        polynomial_kernel(one.numpy(), other.numpy(), degree=3, gamma=1 / 6, coef0=1)
        for one, other in ((real, real), (fake, fake), (real, fake))
    )
    pairs = [kernel[~np.eye(len(kernel), dtype=bool)].mean() for kernel in (within_real, within_fake)]
    assert kernel_distance(real, fake) == pytest.approx(sum(pairs) - 2 * across.mean(), rel=1e-10)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average(random) -> None:
    found = [kernel_distance(*sample(random, 200, 4).split(100)) for _ in range(60)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found))


def neighbours_by_sklearn(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, ...]:
    """Its formulas one image at a time."""
    radii = [NearestNeighbors(n_neighbors=k + 1).fit(kind).kneighbors(kind)[0][:, -1] for kind in (real, fake)]
    inside = [[np.linalg.norm(y - x) < r for x, r in zip(real, radii[0], strict=True)] for y in fake]
    recalled = [[np.linalg.norm(x - y) < r for y, r in zip(fake, radii[1], strict=True)] for x in real]
    nearest = NearestNeighbors(n_neighbors=1).fit(fake).kneighbors(real)[0][:, 0]
    return (
        float(np.mean([any(row) for row in inside])),
        float(np.mean([any(row) for row in recalled])),
        float(np.sum(inside) / (k * len(fake))),
        float(np.mean(nearest < radii[0])),
    )


@pytest.mark.parametrize("k", [1, 5])
def test_precision_recall_density_and_coverage(random, monkeypatch, k: int) -> None:
    monkeypatch.setattr("orchestrator.metrics.prdc._BLOCK", 32)
    real, fake = sample(random, 90, 3), sample(random, 70, 3, 0.6) * 0.5
    found = prdc(real, fake, k)
    assert tuple(found) == pytest.approx(neighbours_by_sklearn(real.numpy(), fake.numpy(), k))
    assert found.precision > found.recall > 0


def by_brute_force(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, ...]:
    """The formulas with closed balls, distances from differences."""

    def squares(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.stack([((others - one) ** 2).sum(1) for one in some])

    real_radii, fake_radii = (np.sort(squares(kind, kind), 1)[:, k] for kind in (real, fake))
    between = squares(fake, real)
    in_real, in_fake = between <= real_radii, between <= fake_radii[:, None]
    return in_real.any(1).mean(), in_fake.any(0).mean(), in_real.sum() / (k * len(fake)), in_real.any(0).mean()


def test_copies_of_an_image_are_within_its_ball() -> None:
    """The ball of arXiv 1904.06991, equation 1, is closed; 30 copies each, of which all are in the balls of all."""
    real = torch.rand(10, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).repeat_interleave(30, 0)
    assert tuple(prdc(real, real.clone())) == (1.0, 1.0, 6.0, 1.0)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-3, 1e3), (1e4, 1e6), (1.0, 1e7)])
def test_ties_are_those_of_differences_whatever_the_lengths(random, monkeypatch, scale: float, offset: float) -> None:
    monkeypatch.setattr("orchestrator.metrics.prdc._BLOCK", 64)
    monkeypatch.setattr("orchestrator.metrics.prdc._AT_ONCE", 100)
    real, fake = (torch.randn(120, 16, generator=random) * scale + offset for _ in range(2))
    real = torch.cat([real, real[:20].repeat(7, 1)])[torch.randperm(260, generator=random)]
    fake = torch.cat([fake, real[:40], fake[:5].repeat(6, 1)])[torch.randperm(190, generator=random)]
    expected = by_brute_force(real.double().numpy(), fake.double().numpy(), 5)
    assert tuple(prdc(real, fake)) == pytest.approx(expected, abs=1e-12)


def test_a_lattice_has_nothing_but_ties(random) -> None:
    real, fake = (torch.randint(0, sides, (150, 4), generator=random).double() for sides in (3, 4))
    assert tuple(prdc(real, fake)) == pytest.approx(by_brute_force(real.numpy(), fake.numpy(), 5), abs=1e-12)


def test_two_samples_of_one_distribution_cover_each_other_as_theory_says(random) -> None:
    """Naeem et al., appendix: mean coverage is 1 - prod (n - i) / (2n - i), i = 1 .. k, and mean density 1."""
    n, k = 2000, 5
    found = prdc(torch.randn(n, 8, generator=random), torch.randn(n, 8, generator=random), k)
    expected = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    assert expected == pytest.approx(0.97, abs=0.002)
    assert found.coverage == pytest.approx(expected, abs=0.015)
    assert found.density == pytest.approx(1.0, abs=0.08)


def test_a_sample_that_lost_a_mode_is_precise_and_covers_half(random) -> None:
    modes = torch.tensor([[-50.0, 0.0], [50.0, 0.0]])
    real = torch.randn(400, 2, generator=random) + modes.repeat(200, 1)
    fake = torch.randn(400, 2, generator=random) + modes[0]
    found = prdc(real, fake)
    assert found.precision > 0.9
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(0.5, abs=0.05)
