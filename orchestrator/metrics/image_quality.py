"""Errors of images against clean ones, and sharpness: one number for each image, independent of the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SIDE, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LEAST_MSE = 1e-10


def mse(images: Tensor, clean: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared error (n,) of images (n, c, h, w), over the pixels in ``mask`` (n, 1, h, w) bool, or all.

    NaN for an image without such pixels.
    """
    return _mean((images - clean).square(), mask)


def psnr(images: Tensor, clean: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio (n,) in dB of images in [0, 1]: 10 log10(1 / mse), at most 100."""
    return -10 * mse(images, clean, mask).clamp(min=_LEAST_MSE).log10()


def ssim(images: Tensor, clean: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity (n,) in [-1, 1] over the pixels in ``mask``, or all: see ``ssim_map``."""
    return _mean(ssim_map(images, clean), mask)


def ssim_map(images: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity (n, c, h, w) around each pixel of images in [0, 1], for each channel separately.

    Wang et al., Image quality assessment (2004), equation 13: Gaussian window of 11x11 and sigma 1.5, K1 = 0.01,
    K2 = 0.03. Images are mirrored beyond their edges, so that every pixel of images of any size has a value; the
    authors, and scikit-image's mean, omit the five pixels next to the edges.
    """
    x, y = images.double(), clean.double()
    mean_x, mean_y, square_x, square_y, product = (_blur(part) for part in (x, y, x * x, y * y, x * y))
    variances = (square_x - mean_x.square()) + (square_y - mean_y.square())
    covariance = product - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return (luminance * (2 * covariance + _C2) / (variances + _C2)).to(images)


def band_power(signal: Tensor, bands: int) -> Tensor:
    """Mean square of each image (n, c, h, w) by spatial frequency, (n, bands): the bands sum to the mean square.

    Bands are rings of equal width from 0 to 1/2 cycles per pixel of the discrete Fourier transform; the last one also
    has the diagonal frequencies above 1/2. For an error image, a band is its part of the mean squared error.
    """
    height, width = signal.shape[-2:]
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64, device=signal.device) for side in (height, width))
    radius = torch.hypot(rows[:, None], columns[None, :])
    ring = (radius * (2 * bands)).long().clamp(max=bands - 1).flatten()
    # Parseval: the squares of an unnormalised transform sum to (pixels) times the squares of the image.
    power = torch.fft.fft2(signal.double()).abs().square().mean(1).flatten(1) / (height * width) ** 2
    in_bands: Tensor = power.new_zeros(len(signal), bands).index_add_(1, ring, power)
    return in_bands.to(signal)


def sharpness(images: Tensor) -> Tensor:
    """Variance (n,) of the Laplacian over the pixels of images (n, c, h, w) in [0, 1], the mean over channels.

    Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy (2000), with the kernel (0 1 0; 1 -4 1; 0 1 0) on
    all pixels but the outermost: sides are at least 3. From 0, for one colour or a linear gradient, to 16, for a
    chessboard of black and white. Noise counts as sharpness.
    """
    x = images.double()
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (around - 4 * x[..., 1:-1, 1:-1]).flatten(2).var(2, correction=0).mean(1).to(images)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean (n,) over channels and over the pixels in ``mask``, or all."""
    if mask is None:
        return values.flatten(1).mean(1)
    mask = mask.expand_as(values)
    return values.where(mask, 0).flatten(1).sum(1) / mask.flatten(1).sum(1)


def _blur(images: Tensor) -> Tensor:
    """Mean over the Gaussian window around each pixel, mirrored beyond the edges: (c b a | a b c)."""
    reach = _SIDE // 2
    window = [math.exp(-(offset**2) / (2 * _SIGMA**2)) for offset in range(-reach, reach + 1)]
    weights = [weight / math.fsum(window) for weight in window]
    for dimension in (2, 3):
        side = images.shape[dimension]
        positions = torch.arange(-reach, side + reach, device=images.device) % (2 * side)
        mirrored = images.index_select(dimension, torch.minimum(positions, 2 * side - 1 - positions))
        # One offset after the other: a window of views would be copied once for each of its pixels.
        images = torch.zeros_like(images)
        for offset, weight in enumerate(weights):
            images.add_(mirrored.narrow(dimension, offset, side), alpha=weight)
    return images
