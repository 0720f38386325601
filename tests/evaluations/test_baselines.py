"""The baselines restore what they are for, leave alone what they may not change, and treat images one by one."""

from __future__ import annotations

import pytest
import torch

from orchestrator.data.corruptions import Corruption, Crosswalk, GaussianNoise, Holes, Pepper, Square
from orchestrator.evaluations.restoration.baselines import baseline
from orchestrator.metrics.image_quality import mse


def waves(n: int = 3, c: int = 1) -> torch.Tensor:
    """Smooth images, as the methods assume."""
    down, across = torch.linspace(0, 3, 28)[:, None], torch.linspace(0, 2, 20)[None, :]
    return torch.stack([0.5 + 0.4 * (down + image).sin() * across.cos() for image in range(n)])[:, None].repeat(
        1, c, 1, 1
    )


KINDS: list[Corruption] = [GaussianNoise(), Holes(size=4), Square(size=4), Pepper(), Crosswalk()]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("corruption", KINDS, ids=lambda kind: kind.kind)
def test_smooth_images_come_back(corruption: Corruption, channels: int) -> None:
    clean = waves(c=channels)
    corrupted = corruption.apply(clean, range(3), seed=0)
    name, restored = baseline(corruption, corrupted)
    assert name == ("total_variation" if corruption.kind == "gaussian_noise" else "biharmonic")
    assert restored.dtype == clean.dtype
    assert restored.shape == clean.shape
    better = 0.25 if corruption.kind == "gaussian_noise" else 0.02
    assert (mse(restored, clean) < better * mse(corrupted.images, clean)).all()
    if corruption.kind != "gaussian_noise":
        observed = corrupted.observed.expand_as(clean)
        torch.testing.assert_close(restored[observed], clean[observed])
    one = type(corrupted)(*(part[1:2] for part in corrupted))
    assert torch.equal(baseline(corruption, one)[1][0], restored[1])
