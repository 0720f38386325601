"""The kind ``encoder_inversion``: rows of each method, an encoder that sees training images only."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from orchestrator.errors import EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.encoder_inversion.compute import train
from orchestrator.evaluations.encoder_inversion.encoder import encode
from orchestrator.evaluations.encoder_inversion.settings import EncoderInversion, EncoderTraining
from orchestrator.evaluations.inputs.image_batch import choose
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.evaluations.latent_search.search import images_in_unit
from orchestrator.spec.columns import evaluation_columns, evaluation_settings
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.evaluations.generators import SHAPE, Affine, convolutional, images_of, subject_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from orchestrator.evaluations.evaluation import ShardResult, TrainedModel

ENCODER = EncoderTraining(steps=25, batch_size=16, width=4, log_every=10)


def subject_with(generator: nn.Module, held_out: int = 10) -> TrainedModel:
    return subject_of(generator, images_of(held_out, 1), images_of(40))


def kind(**changes: Any) -> EncoderInversion:
    return EncoderInversion(**{"images": 10, "steps": 4, "encoder": ENCODER, **changes})


def by(found: ShardResult, method: str, table: str = "") -> list[dict[str, Any]]:
    rows = found.tables[table] if table else found.rows
    return [dict(row) for row in rows if row["method"] == method]


def test_the_encoders_rows_are_of_the_images_of_its_latent_vectors() -> None:
    evaluation, subject = kind(prior=0.5), subject_with(convolutional())
    found, chosen = compute_shard(evaluation, subject, 0), choose(evaluation, subject, 0)
    rows = by(found, "encoder")
    latents = encode(train(evaluation, subject).encoder, chosen.images)
    errors = (images_in_unit(subject.generator, latents) - chosen.images).square().flatten(1).mean(1)
    assert [row["image_id"] for row in rows] == list(chosen.indices)
    assert [row["mse"] for row in rows] == pytest.approx(errors.tolist(), rel=1e-4)
    losses = errors + 0.5 * latents.square().sum(1)
    assert [row["loss"] for row in rows] == pytest.approx(losses.tolist(), rel=1e-4)


def test_a_search_from_there_begins_with_its_loss_and_ends_no_higher() -> None:
    found = compute_shard(kind(), subject_with(convolutional()), 0)
    first = [row["loss"] for row in by(found, "refined", "curves") if row["step"] == 0]
    encoder, refined = ([row["loss"] for row in by(found, method)] for method in ("encoder", "refined"))
    assert first == pytest.approx(encoder)
    assert all(after < before for before, after in zip(encoder, refined, strict=True))


def test_the_search_from_random_starts_is_that_of_inversion() -> None:
    subject = subject_with(convolutional())
    for restarts in (1, 3):
        found = compute_shard(kind(restarts=restarts, seed=5), subject, 0)
        alone = compute_shard(Inversion(images=10, steps=4, restarts=restarts, seed=5), subject, 0)
        best = [row for row in alone.rows if row["chosen"]]
        for row, same in zip(by(found, "random"), best, strict=True):
            assert {name: row[name] for name in ("image_id", "label")} == {
                name: same[name] for name in ("image_id", "label")
            }
            assert [row[name] for name in ("mse", "psnr", "ssim", "loss")] == pytest.approx(
                [same[name] for name in ("mse", "psnr", "ssim", "loss")], rel=1e-4
            )
        assert len(by(found, "random", "curves")) == len(alone.tables["curves"])


def test_both_searches_find_the_least_squares() -> None:
    generator = Affine().float()
    evaluation = kind(optimizer="lbfgs", steps=30, images=4)
    subject = subject_with(generator)
    found, chosen = compute_shard(evaluation, subject, 0), choose(evaluation, subject, 0)
    exact = Affine()
    clean = chosen.images.double()
    best = exact.least_squares(clean, torch.ones(4, *SHAPE, dtype=torch.bool))
    least = ((exact(best) + 1) / 2 - clean).square().flatten(1).mean(1).tolist()
    for method in ("refined", "random"):
        assert [row["mse"] for row in by(found, method)] == pytest.approx(least, rel=1e-3)
    assert all(row["mse"] > low for row, low in zip(by(found, "encoder"), least, strict=True))


def test_the_encoder_learns_from_training_images_only() -> None:
    one, other = (subject_with(convolutional(), count) for count in (10, 20))
    weights = [train(kind(), subject).encoder.state_dict() for subject in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_training_is_told_to_its_last_step() -> None:
    encoder = ENCODER.model_copy(update={"latent_weight": 0.0})
    rows = compute_shard(kind(encoder=encoder, steps=1), subject_with(convolutional()), 0).tables["training"]
    assert [row["step"] for row in rows] == [10, 20, 25]
    assert [row["latent_loss"] for row in rows] == [None] * 3
    assert all(row["image_loss"] > 0 for row in rows)


def test_it_is_one_part_of_all_images() -> None:
    evaluation = kind(images=66, steps=1)
    assert evaluation.shards(subject_with(convolutional()).settings) == 1
    found = compute_shard(evaluation, subject_with(convolutional(), 66), 0)
    assert sorted(row["image_id"] for row in by(found, "refined")) == list(range(66))
    assert len(found.rows) == 3 * 66
    (png,) = found.pictures.values()
    assert Image.open(io.BytesIO(png)).size == (4 * 10 - 2, 8 * 10 - 2)


def test_rows_and_settings_fit_their_columns(tmp_path: Path) -> None:
    evaluation = kind(images=3)
    told = evaluation_settings(evaluation)
    assert told["evaluation.encoder.steps"] == 25
    found = compute_shard(evaluation, subject_with(convolutional()), 0)
    for table, rows in {"": found.rows, **found.tables}.items():
        columns = evaluation_columns(EncoderInversion, table)
        assert len({column.name for column in columns}) == len(columns)
        own = {column.name for column in (EncoderInversion.tables[table] if table else EncoderInversion.columns)}
        assert all(set(row) == own for row in rows)
        schema = schema_of(columns)
        write_rows(LocalStore(tmp_path), f"{table}.parquet", schema, [told | {**row} for row in rows])


def test_what_cannot_be_done_is_told_in_one_line() -> None:
    broken = Affine().float()
    torch.nn.init.constant_(broken.bias, torch.nan)
    with pytest.raises(EvaluationError, match="encoder's loss for the generator of trial abc is not finite within"):
        compute_shard(kind(), subject_with(broken), 0)
    with pytest.raises(ValidationError, match="latent_weight and image_weight are both 0"):
        EncoderInversion.model_validate(
            {"kind": "encoder_inversion", "encoder": {"latent_weight": 0.0, "image_weight": 0.0}}
        )
