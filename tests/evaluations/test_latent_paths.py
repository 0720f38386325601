"""The kind ``interpolation``: which pairs it takes, that ends are inverted, and what it says of known ways."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.data.images import ImageSet, order_of
from orchestrator.errors import DataError, EvaluationError
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.evaluations.interpolation.pairs import pair_up
from orchestrator.evaluations.interpolation.paths import SHARES, linear
from orchestrator.evaluations.interpolation.settings import Interpolation
from orchestrator.metrics.feature_extractor import Features
from orchestrator.spec.columns import evaluation_columns
from tests.evaluations.generators import LATENTS, SHAPE, Affine, convolutional
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from orchestrator.metrics.classifier import Classifier
    from orchestrator.training.settings import TrialSettings


def trial(data: str = "digits") -> TrialSettings:
    return trial_settings(data={"name": data}, model={"latent_dim": LATENTS})


@dataclass
class Brightness:
    """Sees brightness alone: it is the one feature, and the class is its tenth."""

    digest: str = "fade"

    def __call__(self, images: Tensor) -> Features:
        assert images.dtype == torch.uint8
        bright = images.float().flatten(1).mean(1) / 255
        classes = (bright * 10).long().clamp(max=9)
        return Features(bright[:, None], 0.9 * torch.nn.functional.one_hot(classes, 10).float())


@pytest.fixture
def images() -> ImageSet:
    """Grey images, ten of each class; the class is the tenth of their brightness."""
    labels = np.arange(100) % 10
    bright = (255 * (labels + 0.5) / 10).round().astype(np.uint8)
    return ImageSet(np.broadcast_to(bright[:, None, None, None], (100, *SHAPE)).copy(), labels)


class Grey(Affine):
    """Images that are as bright as their first latent number says, between 0 and 1; the others say nothing."""

    def forward(self, latents: Tensor) -> Tensor:
        return (2 * latents[:, :1, None, None] - 1).expand(-1, *SHAPE)


@pytest.fixture
def subject(images: ImageSet) -> Callable[..., TrainedModel]:
    def nobody() -> Any:
        raise AssertionError("nobody is asked to judge")

    def make(generator: nn.Module, classifier: Any = None) -> TrainedModel:
        judge = cast("Classifier", classifier or Brightness())
        return TrainedModel("abc", trial(), generator, torch.device("cpu"), {"test": images}, judge, nobody)

    return make


def walks(**changes: Any) -> Interpolation:
    return Interpolation(**{"pairs": 6, "restarts": 1, "steps": 20, "optimizer": "lbfgs", **changes})


def test_pairs_are_like_and_unlike_in_turn_and_no_image_is_in_two(images: ImageSet) -> None:
    assert images.labels is not None
    pairs = pair_up(images.labels, 20)
    assert len(np.unique(pairs)) == 40
    first, second = images.labels[pairs].T
    assert (first == second).tolist() == [True, False] * 10
    assert (pair_up(images.labels, 7) == pairs[:7]).all()
    assert pairs[0, 0] == order_of(100)[0]
    # an image without a like one is passed over; then none is left
    assert len(pair_up(np.array([0, 1, 1, 2]), 9)) == 2
    assert len(pair_up(np.array([0, 1, 1, 1]), 9)) == 2
    assert pair_up(np.array([0, 1, 2]), 9).shape == (0, 2)


def test_a_straight_way_through_brightness_meets_the_classes_between(
    subject: Callable[..., TrainedModel], images: ImageSet
) -> None:
    found = compute_shard(walks(steps=30), subject(Grey().float()), 0)
    assert images.labels is not None
    assert Counter(row["way"] for row in found.rows) == {"linear": 6, "spherical": 6}
    for row in found.rows:
        first, second = row["first_label"], row["second_label"]
        assert (first, second) == (images.labels[row["first_id"]], images.labels[row["second_id"]])
        assert row["alike"] is (first == second) is (row["pair"] % 2 == 0)
        assert row["ends_mse"] < 1e-8
        assert row["features"] == "classifier:fade"
        if row["way"] != "linear":
            continue
        step = 1 if first >= second else -1
        assert row["path_length"] == pytest.approx(abs(first - second) / 10, abs=0.01)
        assert row["largest_step"] == pytest.approx(abs(first - second) / 80, abs=0.005)
        # eight steps see every class on the way
        met = [int(label) for label in row["classes"].split("-")]
        assert met == list(range(second, first + step, step))
        assert row["third_classes"] == max(0, abs(first - second) - 1)
        assert row["detour"] == (None if first == second else pytest.approx(1, abs=1e-5))
    assert any(row["third_classes"] > 0 for row in found.rows)


def test_points_are_those_of_the_rows(subject: Callable[..., TrainedModel]) -> None:
    found = compute_shard(walks(optimizer="adam", steps=2), subject(convolutional()), 0)
    points = found.tables["points"]
    assert len(points) == 6 * 2 * len(SHARES)
    for row in found.rows:
        own = [point for point in points if (point["pair"], point["way"]) == (row["pair"], row["way"])]
        assert [point["share"] for point in own] == list(SHARES)
        assert [point["confidence"] for point in own] == pytest.approx([0.9] * len(SHARES))
        classes = [point["class"] for point in own]
        met = classes[:1] + [after for before, after in pairwise(classes) if after != before]
        assert row["classes"] == "-".join(map(str, met))
        assert row["third_classes"] == len(set(classes) - {classes[0], classes[-1]})
        assert row["third_met"] == (row["third_classes"] > 0)


def test_ends_are_the_inversions_and_the_picture_shows_the_way(subject: Callable[..., TrainedModel]) -> None:
    generator = Affine().float()
    evaluation = walks(pairs=3)
    found = compute_shard(evaluation, subject(generator), 0)
    pixels = np.asarray(Image.open(io.BytesIO(found.pictures["linear"])))
    assert pixels.shape == (3 * 10 - 2, 11 * 10 - 2)
    images = subject(generator).held_out.pixels[:, 0]
    rows = [row for row in found.rows if row["way"] == "linear"]
    for place, row in enumerate(rows):
        strip = pixels[place * 10 : place * 10 + 8]
        assert (strip[:, :8] == images[row["second_id"]]).all()
        assert (strip[:, -8:] == images[row["first_id"]]).all()
        ends = images[[row["first_id"], row["second_id"]]].astype(float) / 255
        target = torch.tensor(ends)[:, None]
        best = Affine().least_squares(target, torch.ones_like(target, dtype=torch.bool))
        made = (Affine()(best) + 1) / 2
        assert row["ends_mse"] == pytest.approx((made - target).square().mean().item(), rel=1e-3)
        # the generator is affine, so that the way is so in pixels too, but for rounding and clamping
        expected = linear(*made.flatten(1)[:, None].detach())[0].clamp(0, 1) * 255
        shown = np.stack([strip[:, 10 * at : 10 * at + 8] for at in range(1, 10)])
        assert np.abs(shown.reshape(9, -1) - expected.numpy()).max() < 1.5


def test_with_an_encoder_the_ends_are_its_codes(subject: Callable[..., TrainedModel]) -> None:
    def encode(images: Tensor) -> Tensor:
        bright = (images.flatten(1).mean(1) + 1) / 2
        return torch.stack([1 - bright, *[torch.zeros_like(bright)] * (LATENTS - 1)], 1)

    found = compute_shard(walks(steps=1), replace(subject(Grey().float()), encoder=encode), 0)
    for row in found.rows:
        # It takes bright for dark: so must the classes at the ends be.
        if row["way"] == "linear":
            assert row["classes"].split("-")[0] == str(9 - row["second_label"])
            assert row["classes"].split("-")[-1] == str(9 - row["first_label"])


def test_shards_are_parts_of_the_pairs(subject: Callable[..., TrainedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.evaluations.interpolation.settings.Interpolation.shard_pairs", 4)
    evaluation = walks(steps=2, optimizer="adam")
    assert evaluation.shards(trial()) == 2
    parts = [compute_shard(evaluation, subject(convolutional()), shard) for shard in range(2)]
    assert [set(part.pictures) for part in parts] == [{"linear", "spherical"}, set()]
    rows = sorted((row for part in parts for row in part.rows), key=lambda row: (row["way"], row["pair"]))
    monkeypatch.setattr("orchestrator.evaluations.interpolation.settings.Interpolation.shard_pairs", 100)
    whole = compute_shard(evaluation, subject(convolutional()), 0).rows
    for one, other in zip(rows, whole, strict=True):
        assert one["pair"] == other["pair"]
        assert [one[name] for name in ("path_length", "largest_step", "ends_mse")] == pytest.approx(
            [other[name] for name in ("path_length", "largest_step", "ends_mse")], rel=0.01, abs=1e-3
        )


def test_what_cannot_be_walked_is_told_in_one_line(subject: Callable[..., TrainedModel]) -> None:
    assert walks().reject(trial()) is None
    assert str(walks().reject(trial("celeba"))).startswith("interpolation needs a data set with classes")
    with pytest.raises(DataError, match="interpolation: pairs: got 51, but the held-out images of digits make only 4"):
        compute_shard(walks(pairs=51), subject(Grey()), 0)
    broken = Affine().float()
    torch.nn.init.constant_(broken.bias, torch.nan)
    with pytest.raises(EvaluationError, match="trial abc makes images that are not finite"):
        compute_shard(walks(), subject(broken), 0)
    there = subject(Grey())
    nobody = TrainedModel("abc", trial(), there.generator, there.device, there.splits, None, there.make_sample_quality)
    with pytest.raises(DataError, match="interpolation: the images of digits have no classes"):
        compute_shard(walks(), nobody, 0)


def test_more_pairs_than_there_are_is_known_before_anything_runs(images: ImageSet) -> None:
    def told(pairs: int, test: ImageSet = images) -> str | None:
        return walks(pairs=pairs).reject_images(trial().data, {"test": test})

    assert images.labels is not None
    most = len(pair_up(images.labels, 1000))
    assert told(most) is None
    assert told(most + 1) == (
        f"pairs: got {most + 1}, but the held-out images of digits make only {most} of which every second is of one "
        "class; lower it"
    )
    none = ImageSet(images.pixels[:0], images.labels[:0])
    assert str(told(1, none)).endswith("make only 0 of which every second is of one class; take it out")
    assert told(1, ImageSet(images.pixels, None)) == (
        "the images of digits have no classes, from which features are learned"
    )


def test_claims_can_tell_like_ends_from_unlike_ones() -> None:
    assert walks(pairs=1).values_of("alike", trial()) == (True,)  # the second pair is the first of two classes
    assert walks(pairs=2).values_of("alike", trial()) == (True, False)
    assert walks().values_of("way", trial()) == ("linear", "spherical")
    assert walks().values_of("pair", trial()) is None


def test_rows_hold_the_columns(subject: Callable[..., TrainedModel]) -> None:
    found = compute_shard(walks(steps=1, pairs=2), subject(convolutional()), 0)
    for table, rows in (("", found.rows), ("points", found.tables["points"])):
        names = {column.name for column in evaluation_columns(Interpolation, table)}
        assert {f"evaluation.{name}" for name in Interpolation.model_fields} <= names
        for row in rows:
            assert row.keys() <= names
