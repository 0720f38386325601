"""The kind ``sharpness``: samples beside training images, by scipy's Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.ndimage import laplace

from orchestrator.data.images import ImageSet
from orchestrator.errors import EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.sharpness.settings import Sharpness
from orchestrator.metrics.grain import pixelation, salt_and_pepper
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.evaluations.generators import LATENTS, SHAPE, Affine, convolutional, images_of, subject_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def by_scipy(images: NDArray[np.float64]) -> float:
    """Of images (n, 1, h, w) in [0, 1]."""
    return float(np.mean([laplace(image[0])[1:-1, 1:-1].var() for image in images]))


@pytest.mark.parametrize("samples", [7, 300])
def test_the_row_is_of_samples_and_of_as_many_training_images_as_there_are(samples: int) -> None:
    generator, train = Affine().float(), images_of(40, seed=1)
    (row,) = compute_shard(Sharpness(samples=samples, seed=3), subject_of(generator, images_of(2), train), 0).rows
    latents = torch.randn(samples, LATENTS, generator=torch.Generator().manual_seed(3))
    made = ((generator(latents).detach() + 1) / 2).clamp(0, 1).double().numpy()
    real = train.drawn(samples).pixels.astype(float) / 255
    assert len(real) == min(samples, 40)
    assert row["samples"] == samples
    assert row["sharpness"] == pytest.approx(by_scipy(made), rel=1e-5)
    assert row["real"] == pytest.approx(by_scipy(real), rel=1e-5)
    assert row["ratio"] == pytest.approx(by_scipy(made) / by_scipy(real), rel=1e-5)
    for name, images in (("", made), ("_real", real)):
        assert row[f"salt_and_pepper{name}"] == pytest.approx(salt_and_pepper(torch.from_numpy(images)).mean().item())
        assert row[f"pixelation{name}"] == pytest.approx(pixelation(torch.from_numpy(images)).mean().item(), rel=1e-5)


def test_the_data_itself_is_as_sharp_as_the_data_and_a_blur_of_it_less() -> None:
    train = images_of(60, seed=1)
    pictures = torch.from_numpy(train.pixels).float() / 127.5 - 1

    class Copies(torch.nn.Module):
        def __init__(self, images: torch.Tensor) -> None:
            super().__init__()
            self.images = images

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return self.images[: len(latents)]

    blurred = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1)
    ratios = [
        compute_shard(Sharpness(samples=60), subject_of(Copies(images), images_of(1), train), 0).rows[0]["ratio"]
        for images in (pictures, blurred)
    ]
    assert ratios[0] == pytest.approx(1, rel=1e-5)
    assert ratios[1] < 0.5


def test_where_training_images_are_flat_there_is_no_ratio() -> None:
    flat = ImageSet(np.full((5, *SHAPE), 9, np.uint8))
    (row,) = compute_shard(Sharpness(samples=3), subject_of(convolutional(), images_of(1), flat), 0).rows
    assert row["real"] == 0
    assert row["ratio"] is None


def test_samples_that_are_not_finite_are_told_in_one_line() -> None:
    broken = Affine().float()
    torch.nn.init.constant_(broken.bias, torch.nan)
    with pytest.raises(EvaluationError, match="trial abc makes images that are not finite"):
        compute_shard(Sharpness(samples=3), subject_of(broken, images_of(2), images_of(4)), 0)


def test_it_is_one_part_whose_draws_come_from_the_seed(tmp_path: Path) -> None:
    subject = subject_of(convolutional(), images_of(1), images_of(5))
    rows = [compute_shard(Sharpness(samples=20, seed=seed), subject, 0).rows[0] for seed in (0, 0, 1)]
    assert rows[0] == rows[1]
    assert rows[0]["sharpness"] != rows[2]["sharpness"]
    assert Sharpness().shards(subject.settings) == 1
    told = evaluation_settings(Sharpness(samples=20)) | {**rows[0]}
    write_rows(LocalStore(tmp_path), "rows.parquet", schema_of(evaluation_columns(Sharpness, "")), [told])
