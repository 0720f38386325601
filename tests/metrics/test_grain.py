"""Grain of pictures against scipy, and noise of known strength."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from orchestrator.metrics.grain import IMPULSE, pixelation, salt_and_pepper


def pictures(n: int = 20, c: int = 3, h: int = 28, w: int = 20) -> torch.Tensor:
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(0))


def test_impulses_are_those_of_scipys_median() -> None:
    images = pictures()
    medians = ndimage.median_filter(images.numpy(), (1, 1, 3, 3))
    far = np.abs(images.numpy() - medians)[..., 1:-1, 1:-1] > IMPULSE
    np.testing.assert_allclose(salt_and_pepper(images), far.mean((1, 2, 3)), rtol=1e-6)


def test_scattered_bright_and_dark_pixels_are_counted_and_edges_and_bars_are_not() -> None:
    image = torch.zeros(1, 1, 12, 12)
    image[..., 6:] = 1  # an edge
    image[..., 2:4] = 1  # a bar two pixels wide
    assert salt_and_pepper(image).item() == 0
    image[0, 0, 5, 5] = image[0, 0, 2, 6] = 1
    image[0, 0, 6, 9] = 0
    assert salt_and_pepper(image).item() == pytest.approx(2 / 100)  # a bright one beside the edge belongs to it
    assert salt_and_pepper(image * IMPULSE).item() == 0


def test_pixelation_is_scipys_filter_by_immerkaers_mask() -> None:
    images, mask = pictures().double(), np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    filtered = ndimage.convolve(images.numpy(), mask[None, None])[..., 1:-1, 1:-1]
    expected = math.sqrt(math.pi / 2) / 6 * np.abs(filtered).mean((1, 2, 3))
    np.testing.assert_allclose(pixelation(images), expected, rtol=1e-12)


@pytest.mark.parametrize("deviation", [0.02, 0.1])
def test_noise_on_a_slope_has_its_own_deviation(deviation: float) -> None:
    place = torch.arange(200, dtype=torch.float64) / 400
    slope = (place[:, None] + place[None, :])[None, None]
    noise = deviation * torch.randn(slope.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert pixelation(slope).item() == pytest.approx(0, abs=1e-12)
    assert pixelation(slope + noise).item() == pytest.approx(deviation, rel=0.03)


def test_straight_edges_are_no_pixelation_and_blocks_are() -> None:
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 1
    assert pixelation(edge).item() == 0
    smooth = torch.from_numpy(ndimage.gaussian_filter(pictures(1, 1, 32, 32).numpy(), (0, 0, 4, 4)))
    blocks = smooth[..., ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert pixelation(blocks).item() > 5 * pixelation(smooth).item()
