"""Measures of samples at their usual size, 10,000 images' features against as many: FID beside scipy's matrix root."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch

from benchmarks.rows import publish, row
from orchestrator.metrics.fid import frechet_distance, moments
from orchestrator.metrics.kid import kernel_distance
from orchestrator.metrics.prdc import prdc

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

IMAGES, FEATURES, ROUNDS = 10_000, 128, 3


def with_scipy(real: Tensor, fake: Tensor) -> float:
    """The same distance by the root of the product, which is not symmetric."""
    one, other = (features.double().numpy() for features in (real, fake))
    a, b = (np.cov(features, rowvar=False) for features in (one, other))
    root = scipy.linalg.sqrtm(a @ b)
    difference = one.mean(0) - other.mean(0)
    return float(difference @ difference + np.trace(a) + np.trace(b) - 2 * np.trace(root).real)


def fastest(measure: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the fastest of some rounds, and what it came to."""
    found = 0.0
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = measure()
        times.append(time.perf_counter() - began)
    return min(times), found


def main() -> None:
    """Time all on features that are correlated and not negative, as the classifier's are."""
    source = torch.Generator().manual_seed(0)
    mixing = torch.randn(FEATURES, FEATURES, generator=source) / FEATURES**0.5
    real, fake = ((torch.randn(IMAGES, FEATURES, generator=source) @ mixing + shift).relu() for shift in (0.0, 0.1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours, distance = fastest(lambda: frechet_distance(moments(real), moments(fake)))
    theirs, expected = fastest(lambda: with_scipy(real, fake))
    kernel, _ = fastest(lambda: kernel_distance(real, fake))
    neighbours, _ = fastest(lambda: prdc(real, fake).coverage)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    apart = abs(distance / expected - 1)
    size = f"{IMAGES:,} x {FEATURES} features"
    publish(
        row(f"FID of {size}, scipy.linalg.sqrtm / ours", f"{theirs:.2f} s / {ours:.2f} s", "< 1 s", ours < 1),
        row("the two FIDs", f"{apart:.1e} apart", "<= 1e-6", apart <= 1e-6),
        row(f"KID, and precision, recall, density, coverage of {size}", f"{kernel:.1f} s, {neighbours:.1f} s"),
        row("memory that all of these add", f"{grown:,.0f} MiB", "< 500 MiB", grown < 500),
    )


if __name__ == "__main__":
    main()
