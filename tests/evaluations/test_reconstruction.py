"""The kind ``reconstruction``: by the encoder where there is one, else by the best of a search."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import laplace
from skimage import metrics

from orchestrator.data.images import ImageSet
from orchestrator.errors import EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.inputs.image_batch import choose
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.evaluations.latent_search.inverted import invert, targets_of
from orchestrator.evaluations.latent_search.search import draw_starts
from orchestrator.evaluations.reconstruction.settings import Reconstruction
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.evaluations.generators import LATENTS, SHAPE, Affine, convolutional, images_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from torch import Tensor

PIXELS = SHAPE.height * SHAPE.width


def encode(images: Tensor) -> Tensor:
    """A linear encoder, which knows nothing of the generator."""
    source = torch.Generator().manual_seed(5)
    return images.flatten(1) @ torch.randn(PIXELS, LATENTS, generator=source) / PIXELS


def assert_row_is_of(row: Mapping[str, Any], image: Tensor, back: Tensor) -> None:
    one, other = image[0].double().numpy(), back[0].double().numpy()
    within = np.clip(other, 0, 1)
    assert row["mse"] == pytest.approx(metrics.mean_squared_error(one, other), rel=1e-4)
    assert row["psnr"] == pytest.approx(metrics.peak_signal_noise_ratio(one, other, data_range=1), rel=1e-4)
    sharp = [laplace(pixels)[1:-1, 1:-1].var() for pixels in (within, one)]
    assert row["sharpness"] == pytest.approx(sharp[0] / sharp[1], rel=1e-3)


def test_with_an_encoder_rows_are_of_what_the_generator_makes_of_its_codes() -> None:
    generator, held_out = Affine().float(), images_of(9)
    subject = replace(subject_of(generator, held_out), encoder=encode)
    found = compute_shard(Reconstruction(images=5), subject, 0)
    assert [row["image_id"] for row in found.rows] == np.random.default_rng(0).permutation(9)[:5].tolist()
    for row in found.rows:
        assert (row["method"], row["label"]) == ("encoder", row["image_id"] % 10)
        image = torch.from_numpy(held_out.pixels[row["image_id"]]).float() / 255
        back = (generator(encode(2 * image[None] - 1))[0].detach() + 1) / 2
        assert_row_is_of(row, image, back)


def test_without_one_rows_are_of_the_best_of_a_search() -> None:
    generator, held_out = Affine().float(), images_of(6)
    found = compute_shard(
        Reconstruction(images=4, restarts=2, steps=40, optimizer="lbfgs", prior=0.01),
        subject_of(generator, held_out),
        0,
    )
    for row in found.rows:
        assert row["method"] == "search"
        image = torch.from_numpy(held_out.pixels[row["image_id"]]).double() / 255
        best = Affine().least_squares(image[None], torch.ones(1, *SHAPE, dtype=torch.bool), prior=0.01)
        assert_row_is_of(row, image, (Affine()(best)[0].detach() + 1) / 2)


def test_the_search_is_that_of_inversion() -> None:
    settings = {"images": 3, "restarts": 3, "steps": 5, "seed": 4}
    subject = subject_of(convolutional(), images_of(8))
    evaluation = Inversion.model_validate({"kind": "inversion", **settings})
    chosen = choose(evaluation, subject, 0)
    inverted = invert(evaluation, subject, chosen, draw_starts(targets_of(chosen), evaluation.restarts, LATENTS, 4))
    rows = compute_shard(Reconstruction.model_validate({"kind": "reconstruction", **settings}), subject, 0).rows
    expected = (inverted.chosen - chosen.images).square().flatten(1).mean(1)
    assert [row["mse"] for row in rows] == pytest.approx(expected.tolist(), rel=1e-5)


def test_similarity_and_peak_are_perfect_where_an_image_comes_back_and_a_flat_one_has_no_sharpness() -> None:
    class Back(torch.nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return latents.unflatten(1, SHAPE)

    pixels = images_of(3).pixels.copy()
    pixels[1] = 77
    subject = replace(subject_of(Back(), ImageSet(pixels)), encoder=lambda images: images.flatten(1))
    rows = {row["image_id"]: row for row in compute_shard(Reconstruction(images=3), subject, 0).rows}
    assert rows[1]["sharpness"] is None
    for number in (0, 2):
        assert rows[number]["mse"] < 1e-12
        assert rows[number]["ssim"] == pytest.approx(1)
        assert rows[number]["sharpness"] == pytest.approx(1, rel=1e-4)
        assert rows[number]["label"] is None


def test_shards_hold_each_image_once_and_the_first_has_the_picture() -> None:
    evaluation = Reconstruction(images=66)
    subject = replace(subject_of(Affine().float(), images_of(66)), encoder=encode)
    assert evaluation.shards(subject.settings) == 2
    found = [compute_shard(evaluation, subject, shard) for shard in range(2)]
    assert [len(one.rows) for one in found] == [64, 2]
    assert sorted(row["image_id"] for one in found for row in one.rows) == list(range(66))
    assert [list(one.pictures) for one in found] == [["gallery"], []]


def test_the_picture_shows_images_and_below_each_what_came_back() -> None:
    evaluation = Reconstruction(images=10)
    subject = replace(subject_of(convolutional(), images_of(10)), encoder=encode)
    pixels = np.asarray(Image.open(io.BytesIO(compute_shard(evaluation, subject, 0).pictures["gallery"])))
    assert pixels.shape == (2 * 10 - 2, 8 * 10 - 2)
    chosen = choose(evaluation, subject, 0)
    back = (subject.generator(encode(2 * chosen.images - 1)) + 1) / 2
    for place in range(8):
        for row, shown in enumerate((chosen.images[place], back[place])):
            drawn = pixels[10 * row : 10 * row + 8, 10 * place : 10 * place + 8]
            assert np.abs(drawn - shown[0].clamp(0, 1).mul(255).round().numpy()).max() <= 1


def test_codes_that_are_not_finite_are_told_in_one_line() -> None:
    subject = replace(subject_of(Affine().float(), images_of(3)), encoder=lambda images: encode(images) * torch.inf)
    with pytest.raises(EvaluationError, match="trial abc makes images that are not finite"):
        compute_shard(Reconstruction(images=2), subject, 0)


def test_rows_and_settings_fit_their_columns(tmp_path: Path) -> None:
    evaluation = Reconstruction(images=3)
    subject = replace(subject_of(Affine().float(), images_of(3)), encoder=encode)
    rows = [evaluation_settings(evaluation) | {**row} for row in compute_shard(evaluation, subject, 0).rows]
    write_rows(LocalStore(tmp_path), "rows.parquet", schema_of(evaluation_columns(Reconstruction, "")), rows)
    assert all(set(row) >= {column.name for column in Reconstruction.columns} for row in rows)
