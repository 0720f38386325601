"""The Laplacian pyramid against one of scipy's correlations, closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from orchestrator.objectives._laplacian import laplacian_l1, most_levels

SIDES = [(32, 64), (28, 28), (7, 7), (9, 40), (35, 80), (3, 3)]


def pictures(h: int, w: int, c: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(h * w)
    images, targets = torch.rand(2, 4, c, h, w, generator=random, dtype=torch.float64)
    return images, targets


def blurred(image: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        image = correlate1d(image, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="mirror")
    return image


def pyramid(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """Burt and Adelson's, of one image (c, h, w), finest first."""
    bands = []
    for _ in range(levels - 1):
        smaller = blurred(image)[:, ::2, ::2]
        wide = np.zeros_like(image)
        wide[:, ::2, ::2] = smaller
        bands.append(image - 4 * blurred(wide))
        image = smaller
    return [*bands, image]


@pytest.mark.parametrize(("h", "w"), SIDES)
def test_it_is_the_sum_of_the_means_of_two_pyramids_levels(h: int, w: int) -> None:
    images, targets = pictures(h, w)
    for levels in range(1, most_levels(h, w) + 1):
        expected = [
            sum(np.abs(a - b).mean() for a, b in zip(pyramid(x, levels), pyramid(y, levels), strict=True))
            for x, y in zip(images.numpy(), targets.numpy(), strict=True)
        ]
        np.testing.assert_allclose(laplacian_l1(images, targets, levels), expected, rtol=1e-12)


def test_where_sides_halve_exactly_it_is_the_papers_sum_over_the_number_of_pixels() -> None:
    images, targets = pictures(32, 64)
    difference = pyramid((images - targets)[0].numpy(), 5)
    expected = sum(2 ** (2 * j) * np.abs(level).sum() for j, level in enumerate(difference)) / (3 * 32 * 64)
    assert laplacian_l1(images, targets)[0].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("h", "w", "levels"), [(1, 9, 1), (2, 2, 1), (3, 3, 2), (7, 7, 3), (28, 28, 5), (32, 99, 5), (140, 320, 8)]
)
def test_halving_stops_at_two_pixels(h: int, w: int, levels: int) -> None:
    assert most_levels(h, w) == levels
    halvings, side = 0, min(h, w)
    while side > 2:
        halvings, side = halvings + 1, -(-side // 2)
    assert halvings + 1 == levels
    images, targets = pictures(h, w)
    assert torch.equal(laplacian_l1(images, targets), laplacian_l1(images, targets, min(6, levels)))
    with pytest.raises(AssertionError, match=f"1 to {levels} levels"):
        laplacian_l1(images, targets, levels + 1)


@pytest.mark.parametrize(("h", "w"), [*SIDES, (140, 320), (1, 1)])
def test_a_constant_difference_is_in_the_coarsest_level_alone_whatever_the_size(h: int, w: int) -> None:
    images, _ = pictures(h, w)
    for levels in range(1, most_levels(h, w) + 1):
        found = laplacian_l1(images - 0.3, images, levels)
        torch.testing.assert_close(found, torch.full((4,), 0.3, dtype=torch.float64), rtol=1e-12, atol=0)


def test_it_grows_as_the_difference_does_and_sees_nothing_else() -> None:
    images, targets = pictures(28, 28)
    once = laplacian_l1(images, targets)
    torch.testing.assert_close(laplacian_l1(-2.5 * images, -2.5 * targets), 2.5 * once)
    torch.testing.assert_close(laplacian_l1(targets, images), once)
    torch.testing.assert_close(laplacian_l1(images + targets, 2 * targets), once)
    assert laplacian_l1(images, images).eq(0).all()


def test_any_one_pixel_counts() -> None:
    pixels = torch.eye(7 * 9, dtype=torch.float64).view(-1, 1, 7, 9)
    assert laplacian_l1(pixels, torch.zeros_like(pixels)).min() > 1 / (7 * 9)


def test_each_image_counts_by_itself() -> None:
    images, targets = pictures(14, 10)
    together = laplacian_l1(images, targets)
    torch.testing.assert_close(
        torch.cat([laplacian_l1(*pair) for pair in zip(images[:, None], targets[:, None], strict=True)]), together
    )
    spoilt = images.clone()
    spoilt[1] = torch.nan
    assert torch.equal(laplacian_l1(spoilt, targets)[[0, 2, 3]], together[[0, 2, 3]])


def test_gradients_are_finite_differences() -> None:
    images, targets = (x[:2].requires_grad_() for x in pictures(7, 6, c=2))
    assert torch.autograd.gradcheck(laplacian_l1, (images, targets))


def test_images_in_half_precision_are_computed_in_single() -> None:
    images, targets = (x.bfloat16() for x in pictures(28, 28))
    found = laplacian_l1(images, targets)
    assert found.dtype == torch.float32
    assert torch.equal(found, laplacian_l1(images.float(), targets.float()))
