"""The kind ``quality``: which latent vectors it draws, what it says of a perfect and of a collapsed generator."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import truncnorm
from torch import nn

from orchestrator.data._tiles import GAP
from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.evaluation import TrainedModel, _hash
from orchestrator.evaluations.inputs.sampling import truncated_normal
from orchestrator.evaluations.quality.recalibration import recalibrated
from orchestrator.evaluations.quality.settings import NEAREST, Quality
from orchestrator.metrics.classifier import Classifier, train_classifier
from orchestrator.metrics.sample_quality import SHOWN, SampleQuality
from orchestrator.spec.columns import evaluation_columns
from orchestrator.training.settings import TrialSettings
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.data.images import ImageSet

SAMPLES = 300


@pytest.fixture(scope="module")
def settings() -> TrialSettings:
    return trial_settings(model={"latent_dim": 1})


@pytest.fixture(scope="module")
def real(settings: TrialSettings) -> ImageSet:
    return settings.data.load()


@pytest.fixture(scope="module")
def classifier(real: ImageSet) -> Classifier:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("orchestrator.metrics.classifier._EPOCHS", 3)
        return train_classifier(real)


class Recall(nn.Module):
    """A generator that gives training images: which, its one latent number says; it keeps what it is given."""

    def __init__(self, real: ImageSet, number: int) -> None:
        super().__init__()
        self.images = torch.tensor(real.pixels[:number]).float() / 127.5 - 1
        self.seen: list[torch.Tensor] = []

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        self.seen.append(latents)
        shares = 0.5 + 0.5 * torch.erf(latents[:, 0] / math.sqrt(2))
        return self.images[(shares * len(self.images)).long().clamp(max=len(self.images) - 1)]


@pytest.fixture(scope="module")
def held_out(settings: TrialSettings) -> ImageSet:
    return settings.data.load("test")


@pytest.fixture(scope="module")
def subject(
    settings: TrialSettings, real: ImageSet, held_out: ImageSet, classifier: Classifier
) -> Callable[..., TrainedModel]:
    quality = SampleQuality(real, held_out, classifier, "cpu")
    splits: Any = {"train": real, "test": held_out}

    def make(
        generator: nn.Module, judge: Classifier | None = classifier, trained: TrialSettings = settings
    ) -> TrainedModel:
        return TrainedModel("abc", trained, generator, torch.device("cpu"), splits, judge, lambda: quality)

    return make


def row_of(evaluation: Quality, subject: TrainedModel, shard: int = 0) -> dict[str, Any]:
    (row,) = compute_shard(evaluation, subject, shard).rows
    return dict(row)


def test_training_images_are_of_high_quality_and_one_image_is_a_collapse(
    subject: Callable[..., TrainedModel], real: ImageSet, classifier: Classifier
) -> None:
    evaluation = Quality(samples=SAMPLES)
    good = row_of(evaluation, subject(Recall(real, len(real))))
    bad = row_of(evaluation, subject(Recall(real, 1)))
    columns = {column.name for column in Quality.columns}
    assert set(good) == set(bad) == columns
    assert (good["samples"], good["real"], good["truncation"]) == (SAMPLES, len(real), None)
    assert good["features"] == f"classifier:{classifier.digest}"
    assert good["modes"] == 10
    assert bad["modes"] == 1
    assert good["fid"] < 0.2 * bad["fid"]
    assert good["diversity"] == pytest.approx(1.0, abs=0.05)
    assert bad["diversity"] == 0.0
    assert good["precision"] > 0.8
    assert good["coverage"] > 0.5 > bad["coverage"]
    assert good["inception_score"] > 3 > 1.01 > bad["inception_score"]
    assert 3 < good["inception_score_mean"] < good["inception_score"]  # it rises with the number of samples
    for name in ("fid", "kid", "precision", "recall"):
        assert good[f"{name}_low"] <= good[name] <= good[f"{name}_high"]
        assert good[f"{name}_low"] < good[f"{name}_high"]
    assert (good["copying"], good["fid_infinity"]) == (1.0, None)  # eight samples a feature are more than 300
    assert good["copying_score"] < -10


def test_held_out_images_are_no_copies_and_nearer_to_themselves(
    subject: Callable[..., TrainedModel], real: ImageSet, held_out: ImageSet
) -> None:
    row = row_of(Quality(samples=SAMPLES), subject(Recall(held_out, len(held_out))))
    copies = row_of(Quality(samples=SAMPLES), subject(Recall(real, len(real))))
    assert row["held_out"] == len(held_out)
    assert row["copying"] == pytest.approx(0.5, abs=0.05)
    assert abs(row["copying_score"]) < 3
    assert row["fid_held_out"] < row["fid"]
    assert row["kid_held_out"] < row["kid"]
    assert copies["fid"] < copies["fid_held_out"]


def test_the_picture_shows_samples_over_their_nearest_training_images(
    subject: Callable[..., TrainedModel], real: ImageSet
) -> None:
    evaluation = Quality(samples=SAMPLES, truncation=(0.5,))
    found = compute_shard(evaluation, subject(Recall(real, len(real))), 0)
    picture = np.asarray(Image.open(io.BytesIO(found.pictures[NEAREST])))
    height, width = real.shape[1:]
    assert picture.shape == (2 * height + GAP, SHOWN * (width + GAP) - GAP)
    assert np.array_equal(picture[:height], picture[height + GAP :])  # copies
    assert not compute_shard(evaluation, subject(Recall(real, len(real))), 1).pictures


class Normed(nn.Module):
    """z to a constant image by way of a batch norm, which keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, affine=False)
        self.eval()

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.norm(latents[:, :, None, None]).tanh().expand(-1, 1, 28, 28)


def test_recalibrated_statistics_are_those_of_the_truncated_normal() -> None:
    """Of N(0, 1) given |z| <= t the variance is 1 - 2 t phi(t) / (2 Phi(t) - 1)."""
    generator, limit = Normed(), 0.5
    source = torch.Generator().manual_seed(0)
    batches = [truncated_normal((256, 1), limit, source) for _ in range(16)]
    found = recalibrated(generator, batches)
    expected = truncnorm(-limit, limit).var()
    assert found.norm.running_var.item() == pytest.approx(expected, rel=0.05)  # type: ignore[union-attr]
    assert found.norm.running_var.item() == pytest.approx(  # type: ignore[union-attr]
        float(torch.stack([batch.var() for batch in batches]).mean()), rel=1e-5
    )
    assert found.norm.running_mean.item() == pytest.approx(float(torch.cat(batches).mean()), abs=1e-6)  # type: ignore[union-attr]
    assert not found.training
    assert not found.norm.training  # type: ignore[union-attr]
    assert (generator.norm.running_var.item(), generator.norm.num_batches_tracked.item()) == (1.0, 0)


def test_rows_say_what_the_generator_computed_with(
    subject: Callable[..., TrainedModel], settings: TrialSettings, real: ImageSet
) -> None:
    raw = settings.model_dump()
    averaged = TrialSettings.model_validate({**raw, "training": {**raw["training"], "g_ema": 0.9}})
    names = ("statistics", "averaged", "dtype")
    given = Normed()
    rows = {
        statistics: row_of(Quality(samples=200, truncation=(0.1,), statistics=statistics), subject(given), 1)
        for statistics in ("running", "recalibrated")
    }
    assert [rows["running"][name] for name in names] == ["running", False, "fp32"]
    assert [rows["recalibrated"][name] for name in names] == ["recalibrated", False, "fp32"]
    assert rows["recalibrated"]["diversity"] > 5 * rows["running"]["diversity"]  # 0.1 is scaled back to 1
    assert given.norm.running_var.item() == 1.0
    without = row_of(Quality(samples=200, statistics="recalibrated"), subject(Recall(real, 9), trained=averaged))
    assert [without[name] for name in names] == [None, True, None]


def test_each_shard_is_a_threshold_and_all_are_of_the_same_draws(
    subject: Callable[..., TrainedModel], settings: TrialSettings, real: ImageSet
) -> None:
    evaluation = Quality(samples=SAMPLES, truncation=(0.5, 2.0), seed=5)
    assert evaluation.shards(settings) == 3
    latents = []
    for shard, threshold in enumerate([None, 0.5, 2.0]):
        generator = Recall(real, len(real))
        row = row_of(evaluation, subject(generator), shard)
        assert row["truncation"] == threshold
        latents.append(torch.cat(generator.seen))
        assert latents[-1].shape == (SAMPLES, 1)
        assert threshold is None or latents[-1].abs().max() <= threshold
        assert row == row_of(evaluation, subject(Recall(real, len(real))), shard)
    assert torch.equal(latents[0].argsort(0), latents[1].argsort(0))
    whole = truncated_normal((SAMPLES, 1), math.inf, torch.Generator().manual_seed(5))
    assert torch.equal(latents[0], whole)  # by the batch as all at once
    other = Recall(real, len(real))
    row_of(Quality(samples=SAMPLES, seed=6), subject(other))
    assert not torch.equal(torch.cat(other.seen), latents[0])


def test_what_cannot_be_judged_is_refused(
    subject: Callable[..., TrainedModel], real: ImageSet, settings: TrialSettings
) -> None:
    evaluation = Quality(samples=SAMPLES)
    broken = Recall(real, 1)
    broken.images = torch.full_like(broken.images, math.nan)
    with pytest.raises(EvaluationError, match="trial abc makes images that are not finite"):
        compute_shard(evaluation, subject(broken), 0)
    with pytest.raises(DataError, match="quality: the images of digits have no classes"):
        compute_shard(evaluation, subject(Recall(real, 1), None), 0)
    assert evaluation.reject(settings) is None


def test_inception_takes_data_without_classes(settings: TrialSettings) -> None:
    raw = settings.model_dump()
    plain = TrialSettings.model_validate({**raw, "data": {"name": "celeba"}})
    assert str(Quality().reject(plain)).endswith("celeba has none; set features: inception")
    inception = Quality(features="inception")
    assert inception.reject(plain) is None
    assert str(Quality(features="inception", real_images=2048).reject(plain)).startswith("real_images: got 2048, ")
    assert Quality(resize="clean").reject(settings) == (
        "resize: got clean, which is of Inception's images; set features: inception, or take it out"
    )
    few = Quality(features="inception", samples=2048).reject(plain)
    assert few == "samples: got 2048, expected more than Inception's 2048 features, for FID"
    assert (inception.feature_extractor, Quality().feature_extractor, Quality().missing_requirements()) == (
        "inception",
        "classifier",
        None,
    )


def test_the_id_is_that_of_the_settings() -> None:
    ids = {
        evaluation.id
        for evaluation in (
            Quality(),
            Quality(kind="quality", samples=10_000, seed=0),
            Quality(samples=9_999),
            Quality(truncation=(1.0,)),
            Quality(truncation=(1.0, 2.0)),
            Quality(seed=1),
            Quality(checkpoint="best"),
            Quality(features="inception"),
            Quality(features="inception", resize="clean"),
            Quality(statistics="recalibrated"),
            Quality(real_images=500),
        )
    }
    assert len(ids) == 10
    assert all(len(identity) == 16 for identity in ids)
    assert Quality().rows_key("t", 3) == f"evaluations/quality/t-{Quality().id}-0003.parquet"


def test_another_version_is_another_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Quality(seed=7).id
    monkeypatch.setattr(Quality, "version", Quality.version + 1)
    _hash.cache_clear()
    assert Quality(seed=7).id != before
    _hash.cache_clear()


def test_columns_name_every_setting() -> None:
    names = [column.name for column in evaluation_columns(Quality)]
    assert len(set(names)) == len(names)
    assert {f"evaluation.{name}" for name in Quality.model_fields} <= set(names)
    assert names[:2] == ["trial_id", "evaluation_id"]
