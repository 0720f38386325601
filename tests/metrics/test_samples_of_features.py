"""FID, KID and PRDC against libraries, closed forms and direct sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from orchestrator.metrics.copying import copying, nearest
from orchestrator.metrics.fid import PARTS, Moments, RunningMoments, fid_infinity, frechet_distance, moments
from orchestrator.metrics.kid import across, kernel_distance, within
from orchestrator.metrics.prdc import prdc, prdc_of_subsets
from orchestrator.metrics.standard_errors import frechet_distances, halves, interval


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


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_by_the_batch_are_those_of_numpy(random, offset: float) -> None:
    vectors = sample(random, 403, 6) + offset
    running = RunningMoments(PARTS)
    for part in torch.split(vectors, 37):
        running.add(part)
    for first, step in ((0, 1), (1, 2), (6, 8)):
        found, own = running.moments(first, step), vectors[first::step].numpy()
        np.testing.assert_allclose(found.mean.numpy(), own.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.covariance.numpy(), np.cov(own, rowvar=False), atol=1e-8)
    assert running.count == 403


def test_without_end_the_distance_is_that_of_the_distributions(random) -> None:
    """Of N(0, I) and N(0, 1.44 I) it is f (1.2 - 1)^2; by 2,000 samples alone it is more."""
    length = 64
    real = Moments(torch.zeros(length).double(), torch.eye(length).double())
    true, errors, biases = length * 0.04, [], []
    for _ in range(8):
        running = RunningMoments(PARTS)
        for _ in range(8):
            running.add(1.2 * torch.randn(250, length, generator=random))
        estimate = fid_infinity(real, running)
        assert estimate is not None
        errors.append(estimate - true)
        biases.append(frechet_distance(real, running.moments()) - true)
    assert np.mean(biases) > 0.6
    assert abs(np.mean(errors)) < 0.15 * np.mean(biases)
    short = RunningMoments(PARTS)
    short.add(torch.randn(8 * length - 1, length, generator=random))
    assert fid_infinity(real, short) is None
    short.add(torch.randn(1, length, generator=random))
    assert fid_infinity(real, short) is not None


def test_metrics_of_subsets_are_those_of_their_vectors(random, monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.metrics.prdc._BLOCK", 32)
    monkeypatch.setattr("orchestrator.metrics.kid._BLOCK", 32)
    real, fake = sample(random, 90, 4), sample(random, 101, 4, 0.5)
    subsets = halves(101)[:6]
    assert subsets.sum(1).tolist() == [50] * 6
    whole, precision, recall = prdc_of_subsets(real, fake, subsets)
    assert whole == prdc(real, fake)
    kernel = within(real) + within(fake, subsets) - 2 * across(real, fake, subsets)
    frechet = frechet_distances(moments(real), fake, subsets)
    for number, subset in enumerate(subsets):
        own = prdc(real, fake[subset])
        assert (float(precision[number]), float(recall[number])) == pytest.approx((own.precision, own.recall))
        assert float(kernel[number]) == pytest.approx(kernel_distance(real, fake[subset]), rel=1e-9)
        assert float(frechet[number]) == pytest.approx(frechet_distance(moments(real), moments(fake[subset])), rel=1e-5)


def test_intervals_are_as_wide_as_samples_differ(random) -> None:
    """Against the spread of 40 independent samples; its own error is a tenth."""
    real, count = sample(random, 200, 3), 200
    of_real = moments(real)
    found: dict[str, list[tuple[float, float]]] = {"fid": [], "kid": [], "precision": [], "recall": []}
    for _ in range(40):
        fake = sample(random, count, 3, 0.4)
        subsets = halves(count)
        whole, precision, recall = prdc_of_subsets(real, fake, subsets)
        kernels = within(real) + within(fake, subsets) - 2 * across(real, fake, subsets)
        values = {
            "fid": (frechet_distance(of_real, moments(fake)), frechet_distances(of_real, fake, subsets)),
            "kid": (kernel_distance(real, fake), kernels),
            "precision": (whole.precision, precision),
            "recall": (whole.recall, recall),
        }
        for name, (value, of_halves) in values.items():
            low, high = interval(value, of_halves, count, count)
            assert low + high == pytest.approx(2 * value)
            found[name].append((value, (high - low) / 2 / 1.96))
    for name, pairs in found.items():
        spread, errors = np.array(pairs).T
        assert 0.65 < errors.mean() / spread.std() < 1.5, name


def test_an_interval_narrows_with_samples_and_stays_within_its_bounds() -> None:
    of_halves = torch.tensor([0.9, 1.0])  # of 100 vectors; their standard deviation is 0.0707
    assert interval(0.5, of_halves, 100, 100) == pytest.approx((0.5 - 0.1386, 0.5 + 0.1386), abs=1e-4)
    assert interval(0.5, of_halves, 100, 400) == pytest.approx((0.5 - 0.0693, 0.5 + 0.0693), abs=1e-4)
    assert interval(0.99, of_halves, 100, 100, least=0, most=1)[1] == 1


def test_the_nearest_is_scikit_learns(random, monkeypatch) -> None:
    monkeypatch.setattr("orchestrator.metrics.copying._BLOCK", 16)
    monkeypatch.setattr("orchestrator.metrics.copying._AMONG", 32)
    some, others = sample(random, 50, 5), sample(random, 99, 5)
    some[7] = others[70]
    distances, indices = nearest(some, others)
    theirs, places = NearestNeighbors(n_neighbors=1).fit(others.numpy()).kneighbors(some.numpy())
    np.testing.assert_allclose(distances.numpy(), theirs[:, 0], atol=1e-12)
    assert indices.tolist() == places[:, 0].tolist()
    assert (distances[7].item(), indices[7].item()) == (0.0, 70)


def test_copying_is_the_test_of_mann_and_whitney(random) -> None:
    samples, held_out = (torch.rand(n, generator=random).mul(20).round() for n in (70, 40))
    found = copying(samples, held_out)
    theirs = mannwhitneyu(held_out.numpy(), samples.numpy())
    assert found.share == pytest.approx(theirs.statistic / (70 * 40))
    apart = copying(torch.rand(70, generator=random), torch.rand(40, generator=random) + 0.2)
    distinct = copying(samples + torch.arange(70) / 1e3, held_out + torch.arange(40) / 1.1e3)
    exact = mannwhitneyu(
        (held_out + torch.arange(40) / 1.1e3).numpy(),
        (samples + torch.arange(70) / 1e3).numpy(),
        method="asymptotic",
        use_continuity=False,
    )
    assert 2 * norm.sf(abs(distinct.score)) == pytest.approx(exact.pvalue, rel=1e-6)
    assert apart.score < -3
    assert apart.share > 0.6


def test_copies_are_told_from_a_fair_sample(random) -> None:
    train, held_out, fair = (torch.randn(300, 6, generator=random) for _ in range(3))
    reference = nearest(held_out, train)[0]
    assert abs(copying(nearest(fair, train)[0], reference).score) < 3
    noisy = train + 0.1 * torch.randn(300, 6, generator=random)
    assert copying(nearest(noisy, train)[0], reference).score < -10


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
