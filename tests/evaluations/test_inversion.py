"""The kind ``inversion``: what it finds is the least squares that there is, and is told of each restart as it was."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import metrics

from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.inputs.image_batch import ImageBatch, choose
from orchestrator.evaluations.inversion.compute import bands_of, rows_of
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.evaluations.latent_search.inverted import curves_of, invert, targets_of
from orchestrator.evaluations.latent_search.search import draw_starts
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.evaluations.generators import LATENTS, SHAPE, Affine, convolutional, images_of, subject_of

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.evaluations.evaluation import ShardResult


def of(found: ShardResult, image: int, table: str = "") -> list[dict[str, Any]]:
    rows = found.tables[table] if table else found.rows
    return [dict(row) for row in rows if row["image_id"] == image]


def test_rows_are_the_least_squares() -> None:
    generator = Affine()
    clean = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    chosen = ImageBatch((7, 2, 9, 4), (1, 2, 3, None), clean)
    search = Inversion(images=4, restarts=2, steps=40, optimizer="lbfgs", prior=0.01)
    starts = draw_starts(targets_of(chosen), search.restarts, LATENTS, seed=0)
    subject = subject_of(generator, images_of(10))
    inverted = invert(search, subject, chosen, starts)
    best = generator.least_squares(clean, torch.ones(4, *SHAPE, dtype=torch.bool), prior=0.01)
    images = ((generator(best) + 1) / 2).detach()
    rows = rows_of(subject, chosen, inverted)
    assert [(row["image_id"], row["label"], row["restart"]) for row in rows[:3]] == [(7, 1, 0), (7, 1, 1), (2, 2, 0)]
    for place, row in enumerate(rows):
        one, other = clean[place // 2, 0].numpy(), images[place // 2, 0].numpy()
        error, length = metrics.mean_squared_error(one, other), best[place // 2].norm().item()
        assert row["mse"] == pytest.approx(error, rel=1e-6)
        assert row["loss"] == pytest.approx(error + 0.01 * length**2, rel=1e-6)
        assert row["psnr"] == pytest.approx(metrics.peak_signal_noise_ratio(one, other, data_range=1), rel=1e-6)
        assert row["latent_norm"] == pytest.approx(length, rel=1e-5)
        assert row["dropped_at"] is None


def test_the_chosen_restart_is_the_one_of_the_lowest_loss() -> None:
    evaluation = Inversion(images=6, restarts=4, steps=5, prior=0.1)
    found = compute_shard(evaluation, subject_of(convolutional(), images_of(8)), 0)
    assert len(found.rows) == 6 * 4
    for image in {row["image_id"] for row in found.rows}:
        rows = of(found, image)
        losses = [row["loss"] for row in rows]
        assert [row["restart"] for row in rows] == [0, 1, 2, 3]
        assert [row["chosen"] for row in rows] == [loss == min(losses) for loss in losses]
        assert {row["label"] for row in rows} == {image % 10}
    assert not all(row["chosen"] == (row["restart"] == 0) for row in found.rows)


def test_an_image_alone_is_what_it_is_among_64() -> None:
    whole = compute_shard(Inversion(images=64, restarts=2, steps=6), subject_of(convolutional(), images_of(70)), 0)
    (image,) = {row["image_id"] for row in whole.rows[:2]}
    alone = compute_shard(Inversion(images=1, restarts=2, steps=6), subject_of(convolutional(), images_of(70)), 0)
    for table in ("", "curves", "bands"):
        one, among = of(alone, image, table), of(whole, image, table)
        assert len(one) == len(among) == {"": 2, "curves": 4, "bands": 8}[table]
        for row, other in zip(one, among, strict=True):
            nulls = {name for name, value in row.items() if value is None}
            assert nulls == {name for name, value in other.items() if value is None}
            assert "dropped_at" in nulls or table
            numbers = row.keys() - nulls
            assert {name: row[name] for name in numbers} == pytest.approx(
                {name: other[name] for name in numbers}, rel=1e-4
            )


def test_shards_hold_each_image_once() -> None:
    evaluation = Inversion(images=66, restarts=1, steps=1)
    subject = subject_of(Affine().float(), images_of(66, labelled=False))
    assert evaluation.shards(subject.settings) == 2
    found = [compute_shard(evaluation, subject, shard) for shard in range(2)]
    assert [len(one.rows) for one in found] == [64, 2]
    assert sorted(row["image_id"] for one in found for row in one.rows) == list(range(66))
    assert {row["label"] for row in found[1].rows} == {None}
    assert [list(one.pictures) for one in found] == [["gallery-0000"], ["gallery-0001"]]


@pytest.mark.parametrize("halving", [False, True])
def test_curves_are_those_of_the_search_and_end_where_a_restart_is_dropped(halving: bool) -> None:
    evaluation = Inversion(images=3, restarts=5, steps=20, halving=halving, log_every=3)
    subject = subject_of(convolutional(), images_of(3))
    chosen = choose(evaluation, subject, 0)
    inverted = invert(evaluation, subject, chosen, draw_starts(targets_of(chosen), evaluation.restarts, LATENTS, 0))
    curves = curves_of(evaluation, chosen, inverted.result)
    told = {(row["image_id"], row["restart"], row["step"]): row["loss"] for row in curves}
    assert len(told) == len(curves)
    expected = {
        (image, restart, step): loss
        for image, restarts in zip(chosen.indices, inverted.result.curves.tolist(), strict=True)
        for restart, curve in enumerate(restarts)
        for step, loss in zip(evaluation.points, curve, strict=True)
        if not math.isnan(loss)
    }
    assert told == expected
    dropped = [row["dropped_at"] for row in rows_of(subject, chosen, inverted)]
    # five restarts become three after an eighth of the steps, two after a quarter and one after half
    assert sorted(step for step in dropped if step) == (sorted([2, 2, 5, 10] * 3) if halving else [])
    for row in rows_of(subject, chosen, inverted):
        last = max(step for image, restart, step in told if (image, restart) == (row["image_id"], row["restart"]))
        assert last == max(p for p in evaluation.points if row["dropped_at"] is None or p < row["dropped_at"])
        assert not (row["chosen"] and row["dropped_at"])


def test_bands_of_an_image_add_up_to_its_error_and_power() -> None:
    evaluation = Inversion(images=5, restarts=2, steps=3, bands=4)
    subject = subject_of(convolutional(), images_of(5))
    found, chosen = compute_shard(evaluation, subject, 0), choose(evaluation, subject, 0)
    for image, pixels in zip(chosen.indices, chosen.images, strict=True):
        bands = of(found, image, "bands")
        assert [(row["band"], row["frequency"]) for row in bands] == [(0, 0.125), (1, 0.25), (2, 0.375), (3, 0.5)]
        (best,) = [row for row in of(found, image) if row["chosen"]]
        assert sum(row["error"] for row in bands) == pytest.approx(best["mse"], rel=1e-4)
        assert sum(row["power"] for row in bands) == pytest.approx(pixels.square().mean().item(), rel=1e-4)


def test_a_wave_lies_in_the_band_of_its_frequency() -> None:
    columns = torch.arange(8, dtype=torch.float64)
    wave = (0.25 * torch.cos(2 * math.pi * 3 / 8 * columns)).expand(1, *SHAPE)
    chosen = ImageBatch((0,), (None,), torch.zeros(1, *SHAPE, dtype=torch.float64))
    errors = [row["error"] for row in bands_of(chosen, wave, 4)]
    assert errors == pytest.approx([0, 0, 0, 0.25**2 / 2])


def test_the_picture_shows_images_and_what_was_made_of_them() -> None:
    evaluation = Inversion(images=10, restarts=7, steps=2)
    subject = subject_of(convolutional(), images_of(10))
    (png,) = compute_shard(evaluation, subject, 0).pictures.values()
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (8 * 10 - 2, 7 * 10 - 2)  # eight images; itself, the best, five of seven restarts
    chosen = choose(evaluation, subject, 0)
    inverted = invert(evaluation, subject, chosen, draw_starts(targets_of(chosen), evaluation.restarts, LATENTS, 0))
    for image in range(8):
        row = pixels[10 * image : 10 * image + 8]
        shown = [chosen.images[image], inverted.chosen[image], *inverted.images[image, :5]]
        for place, one in enumerate(shown):
            expected = one[0].clamp(0, 1).mul(255).round().numpy()
            assert np.abs(row[:, 10 * place : 10 * place + 8] - expected).max() <= 1


def test_rows_and_settings_fit_their_columns(tmp_path: Path) -> None:
    evaluation = Inversion(images=3, restarts=2, steps=2)
    told = evaluation_settings(evaluation)
    found = compute_shard(evaluation, subject_of(Affine().float(), images_of(3)), 0)
    for table, rows in {"": found.rows, **found.tables}.items():
        columns = evaluation_columns(Inversion, table)
        assert len({column.name for column in columns}) == len(columns)
        whole = [told | {**row} for row in rows]
        write_rows(LocalStore(tmp_path), f"{table}.parquet", schema_of(columns), whole)
        own = {column.name for column in (Inversion.tables[table] if table else Inversion.columns)}
        assert all(set(row) == own for row in rows)


def test_what_cannot_be_inverted_is_told_in_one_line() -> None:
    generator = Affine().float()
    with pytest.raises(DataError, match="inversion: images: got 11, but the held-out images of digits are 10; lower"):
        compute_shard(Inversion(images=11), subject_of(generator, images_of(10)), 0)
    empty = subject_of(generator, images_of(0))
    with pytest.raises(DataError, match="inversion: images: got 1, but digits has no held-out images; take it out"):
        compute_shard(Inversion(images=1), empty, 0)
    torch.nn.init.constant_(generator.bias, torch.nan)
    with pytest.raises(EvaluationError, match="trial abc makes images that are not finite"):
        compute_shard(Inversion(images=1, steps=1), subject_of(generator, images_of(1)), 0)
