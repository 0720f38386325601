"""Figures of pictures against scikit-image's, and spatial frequencies against pictures that have only one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, laplace
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from orchestrator.metrics.image_quality import band_power, mse, psnr, sharpness, ssim, ssim_map


def pairs(c: int = 3, h: int = 28, w: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with structure, and the same with noise of growing strength."""
    random = torch.Generator().manual_seed(0)
    clean = torch.rand(5, c, h, w, generator=random).cumsum(3) / w
    noise = torch.randn(clean.shape, generator=random) * torch.linspace(0.01, 0.4, 5).view(-1, 1, 1, 1)
    return (clean + noise).clamp(0, 1), clean


def skimage_ssim(image: torch.Tensor, clean: torch.Tensor) -> tuple[float, np.ndarray]:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    mean, full = structural_similarity(
        image.double().numpy(), clean.double().numpy(), channel_axis=0, full=True, **settings
    )
    return float(mean), full


def test_errors_are_those_of_scikit_image() -> None:
    images, clean = pairs()
    for place, (image, wanted) in enumerate(zip(images.double(), clean.double(), strict=True)):
        a, b = wanted.numpy(), image.numpy()
        assert mse(images, clean)[place].item() == pytest.approx(mean_squared_error(a, b), rel=1e-5)
        assert psnr(images, clean)[place].item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), rel=1e-5)


@pytest.mark.parametrize(("c", "h", "w"), [(3, 28, 20), (1, 12, 17), (1, 11, 11)])
def test_similarity_is_that_of_scikit_image(c: int, h: int, w: int) -> None:
    images, clean = pairs(c, h, w)
    ours = ssim_map(images.double(), clean.double())
    for place in range(len(images)):
        mean, full = skimage_ssim(images[place], clean[place])
        np.testing.assert_allclose(ours[place].numpy(), full, rtol=0, atol=1e-9)
        assert ours[place, :, 5:-5, 5:-5].mean().item() == pytest.approx(mean, abs=1e-9)
        assert ssim(images, clean)[place].item() == pytest.approx(full.mean(), abs=1e-5)


@pytest.mark.parametrize("side", [1, 3, 8])
def test_images_smaller_than_the_window_are_mirrored_as_often_as_needed(side: int) -> None:
    images, clean = pairs(1, side, side)
    # mirrored by hand until the window fits, the middle has the same surroundings
    wide_images, wide_clean = (x for x in (images.double(), clean.double()))
    for _ in range(4):
        wide_images, wide_clean = (torch.cat([x, x.flip(2)], 2) for x in (wide_images, wide_clean))
        wide_images, wide_clean = (torch.cat([x, x.flip(3)], 3) for x in (wide_images, wide_clean))
    middle = slice(8 * side, 9 * side)
    expected = ssim_map(wide_images, wide_clean)[:, :, middle, middle]
    torch.testing.assert_close(ssim_map(images.double(), clean.double()), expected, rtol=0, atol=1e-12)


def test_masked_figures_look_at_nothing_else() -> None:
    images, clean = pairs()
    among = torch.zeros(5, 1, 28, 20, dtype=torch.bool)
    among[:, :, 4:12, 3:9] = True
    cut = (slice(None), slice(None), slice(4, 12), slice(3, 9))
    torch.testing.assert_close(mse(images, clean, among), (images - clean)[cut].square().mean((1, 2, 3)))
    torch.testing.assert_close(psnr(images, clean, among), psnr(images[cut], clean[cut]))
    torch.testing.assert_close(ssim(images, clean, among), ssim_map(images, clean)[cut].mean((1, 2, 3)))
    spoilt = images.where(among, torch.nan)
    assert torch.equal(mse(spoilt, clean, among), mse(images, clean, among))


def test_a_mask_of_everything_is_none_and_of_nothing_gives_no_figure() -> None:
    images, clean = pairs()
    everything = torch.ones(5, 1, 28, 20, dtype=torch.bool)
    for measure in (mse, psnr, ssim):
        torch.testing.assert_close(measure(images, clean, everything), measure(images, clean))
        assert measure(images, clean, ~everything).isnan().all()


def test_equal_pictures_have_the_best_figures() -> None:
    _, clean = pairs()
    assert mse(clean, clean).eq(0).all()
    assert psnr(clean, clean).eq(100).all()
    torch.testing.assert_close(ssim(clean, clean), torch.ones(5))


@pytest.mark.parametrize(("h", "w"), [(28, 28), (27, 40), (8, 9)])
def test_bands_add_up_to_the_mean_square(h: int, w: int) -> None:
    signal = torch.randn(3, 2, h, w, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(band_power(signal, 5).sum(1), signal.square().mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("across", "down", "band"),
    [(0, 0, 0), (3, 0, 0), (0, 3, 0), (5, 0, 1), (5, 7, 2), (0, 16, 3), (16, 16, 3)],
)
def test_a_wave_is_in_its_band_alone(across: int, down: int, band: int) -> None:
    # 4 bands up to 1/2 cycle a pixel: on 32 pixels, of 4 cycles each
    place = torch.arange(32.0)
    wave = torch.cos(2 * math.pi * (across * place[None, :] + down * place[:, None]) / 32)[None, None]
    power = band_power(wave, 4)[0]
    assert power[band].item() == pytest.approx(wave.square().mean().item(), rel=1e-5)
    assert power.sum().item() == pytest.approx(power[band].item(), rel=1e-5)


@pytest.mark.parametrize(("c", "h", "w"), [(1, 28, 20), (3, 3, 17)])
def test_sharpness_is_the_variance_of_scipys_laplacian_where_it_needs_no_border(c: int, h: int, w: int) -> None:
    images, _ = pairs(c, h, w)
    expected = [np.mean([laplace(channel)[1:-1, 1:-1].var() for channel in image]) for image in images.double().numpy()]
    np.testing.assert_allclose(sharpness(images), expected, rtol=1e-6)


def test_blurring_lowers_sharpness() -> None:
    images, _ = pairs()
    blurred = [torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, sigma, sigma))) for sigma in (0.5, 1.0, 2.0)]
    found = torch.stack([sharpness(each) for each in (images, *blurred)])
    assert (found.diff(dim=0) < 0).all()


def test_a_slope_is_not_sharp_and_a_chessboard_is_as_sharp_as_can_be() -> None:
    place = torch.arange(10)
    slope = (3 * place[:, None] + place[None, :]).expand(1, 2, 10, 10) / 40
    torch.testing.assert_close(sharpness(slope), torch.zeros(1))
    chessboard = ((place[:, None] + place[None, :]) % 2).float().expand(1, 2, 10, 10)
    assert sharpness(chessboard).item() == 16
