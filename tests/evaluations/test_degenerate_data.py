"""Images that say little: all alike, few, of one class; and such samples. Refused before a run, or null.

Every kind of evaluation and everything measured while training, on each of them: a new kind is tried by itself.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from orchestrator.data.images import ImageSet
from orchestrator.evaluations import KINDS, Evaluation, compute_shard
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.metrics.classifier import Classifier, train_classifier
from orchestrator.metrics.requirements import CLASSIFIER_FEATURES, NEIGHBOURS, unmeasured
from orchestrator.metrics.sample_metrics import SampleMetrics
from orchestrator.metrics.sample_quality import SampleQuality
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

LATENTS, SHAPE = 4, (1, 8, 8)
SMALL: dict[str, dict[str, Any]] = {
    "quality": {"samples": 200, "truncation": [0.5]},
    "sharpness": {"samples": 20},
    "inversion": {"images": 2, "steps": 2, "restarts": 2},
    "reconstruction": {"images": 2, "steps": 2, "restarts": 2},
    "restoration": {
        "images": 2,
        "steps": 2,
        "restarts": 2,
        "masks": ["known", "unknown"],
        "corruptions": [{"kind": "gaussian_noise"}, {"kind": "holes", "number": 1, "size": 3}, {"kind": "pepper"}],
    },
    "encoder_inversion": {"images": 2, "steps": 2, "encoder": {"steps": 2, "batch_size": 2, "width": 2}},
    "interpolation": {"pairs": 1, "steps": 2, "restarts": 2},
    "likelihood": {"images": 2},
}


def noise(count: int, classes: int) -> ImageSet:
    pixels = np.random.default_rng(count).integers(0, 256, (count, *SHAPE), np.uint8)
    return ImageSet(pixels, np.arange(count) % classes if classes else None)


def alike(count: int, classes: int) -> ImageSet:
    return ImageSet(np.full((count, *SHAPE), 90, np.uint8), np.arange(count) % classes if classes else None)


DATA = {
    "all alike": alike(150, 2),
    "all alike without classes": alike(150, 0),
    "of one class": noise(150, 1),
    "of two alike": alike(2, 2),
    "two": noise(2, 2),
    "as many as neighbours": noise(NEIGHBOURS, 2),
    "one more": noise(NEIGHBOURS + 1, 2),
    "as many as features": noise(CLASSIFIER_FEATURES, 2),
}


class Made(nn.Module):
    """A generator of noise, or of one image."""

    def __init__(self, *, collapsed: bool) -> None:
        super().__init__()
        weight = torch.randn(LATENTS, math.prod(SHAPE), generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", 0 * weight if collapsed else weight)
        self.eval()

    def forward(self, latents: Tensor) -> Tensor:
        return (latents @ self.weight).tanh().unflatten(1, SHAPE)  # type: ignore[operator]


@cache
def classifier_of(name: str) -> Classifier | None:
    images = DATA[name]
    return train_classifier(images, ImageSet(images.pixels[:0], None)) if images.has_classes else None


@cache
def referee_of(name: str) -> SampleMetrics:
    return SampleMetrics(DATA[name], classifier_of(name), "cpu")


@cache
def quality_of(name: str) -> SampleQuality:
    classifier = classifier_of(name)
    assert classifier is not None
    return SampleQuality(DATA[name], DATA[name], classifier, "cpu")


def trial(**more: Any) -> TrialSettings:
    return trial_settings(**{"model": {"latent_dim": LATENTS}, **more})


def subject_of(name: str, evaluation: Evaluation, *, collapsed: bool) -> TrainedModel:
    settings, generator = trial(), Made(collapsed=collapsed)
    if evaluation.not_applicable(settings):
        settings = trial(model={"kind": "glow", "levels": 1, "steps": 1, "width": 2}, objective={"kind": "likelihood"})
        generator = settings.model.build_generator(settings.data.shape).eval()  # type: ignore[assignment]
    images = DATA[name]
    splits: Any = dict.fromkeys(evaluation.splits, images)
    device, classifier = torch.device("cpu"), classifier_of(name)
    return TrainedModel("abc", settings, generator, device, splits, classifier, lambda: quality_of(name))


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluation_is_refused_before_the_run_or_finds_numbers_and_nulls(kind: str, name: str) -> None:
    evaluation = KINDS[kind].model_validate(SMALL[kind])
    images = DATA[name]
    assert evaluation.not_applicable(trial()) or evaluation.reject(trial()) is None
    problem = evaluation.reject_images(trial().data, {"train": images, "test": images})
    if problem is not None:
        assert "\n" not in problem
        return
    for collapsed in (False, True):
        subject = subject_of(name, evaluation, collapsed=collapsed)
        for shard in range(evaluation.shards(subject.settings)):
            found = compute_shard(evaluation, subject, shard)
            for row in [*found.rows, *(row for rows in found.tables.values() for row in rows)]:
                assert [value for value in row.values() if isinstance(value, float) and not math.isfinite(value)] == []


@pytest.mark.parametrize("name", DATA)
def test_what_is_measured_while_training_is_a_number_or_null_and_null_is_told_before(name: str) -> None:
    images = DATA[name]
    told = " ".join(unmeasured(images))
    for collapsed in (False, True):
        made = Made(collapsed=collapsed)(torch.randn(200, LATENTS)).add(1).mul(127).byte()
        look = referee_of(name).quick(made)
        assert all(value is None or math.isfinite(value) for value in look)
        assert (look.fid is None) == ("FID" in told)
        assert (look.modes is None) == ("modes" in told)
        assert (look.diversity is None) == ("diversity" in told)


REFUSED = [
    (
        "quality",
        {},
        "two",
        "takes more than 5 training images, for precision and recall, but the images of digits are 2",
    ),
    ("quality", {}, "as many as neighbours", "but the images of digits are 5; add some, or take it out"),
    ("quality", {}, "of one class", "the images of digits have no classes, from which features are learned"),
    ("quality", {"features": "inception", "samples": 2049}, "two", "takes more than 5 training images"),
    ("interpolation", {}, "of one class", "the images of digits have no classes, from which features are learned"),
    ("inversion", {"images": 3}, "two", "images: got 3, but the held-out images of digits are 2; lower it"),
    ("inversion", {"checkpoint": "best"}, "as many as features", "digits has 128 training images"),
    ("sharpness", {"checkpoint": "best"}, "all alike without classes", "digits has no classes; take last"),
]


@pytest.mark.parametrize(("kind", "more", "name", "expected"), REFUSED)
def test_images_that_will_not_do_are_refused_before_the_run(
    kind: str, more: dict[str, Any], name: str, expected: str
) -> None:
    evaluation = KINDS[kind].model_validate({**SMALL[kind], **more})
    assert expected in str(evaluation.reject_images(trial().data, {"train": DATA[name], "test": DATA[name]}))


def test_settings_that_keep_too_few_images_are_refused() -> None:
    quality = KINDS["quality"].model_validate({})
    assert quality.reject(trial(data={"name": "digits", "max_images": 6})) is None
    assert quality.reject(trial(data={"name": "digits", "max_images": 5})) == (
        "quality takes more than 5 training images, for precision and recall, but data.max_images keeps 5; "
        "add some, or take it out"
    )
