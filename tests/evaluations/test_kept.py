"""What evaluations of held-out images tell of class, ink and typicality, by a classifier whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from orchestrator.data.images import ImageSet
from orchestrator.evaluations import KINDS, compute_shard
from orchestrator.evaluations.inputs.image_batch import choose
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.evaluations.latent_search.kept import class_columns, kept_columns, typicality_columns
from orchestrator.metrics.feature_extractor import Features
from orchestrator.metrics.ink import ink_kept
from orchestrator.metrics.typicality import class_centres, typicality
from tests.evaluations.generators import SHAPE, convolutional, images_of, subject_of
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from orchestrator.evaluations.evaluation import TrainedModel

SMALL: dict[str, dict[str, Any]] = {
    "inversion": {"images": 3, "steps": 1, "restarts": 2},
    "encoder_inversion": {"images": 3, "steps": 1, "encoder": {"steps": 1, "batch_size": 2, "width": 2}},
    "reconstruction": {"images": 3, "steps": 1, "restarts": 1},
    "restoration": {"images": 3, "steps": 1, "restarts": 1, "norms": ["l2"], "corruptions": [{"kind": "pepper"}]},
}


class ByBrightness:
    """Sees class 1 in images whose mean byte is at least 100, else class 0."""

    digest = "0123456789abcdef"

    def __call__(self, images: torch.Tensor) -> Features:
        assert images.dtype == torch.uint8
        bright = (images.float().flatten(1).mean(1) >= 100).long()
        return Features(torch.zeros(len(images), 1), torch.eye(2)[bright])


def model_of(count: int = 6, *, labelled: bool = True, classifier: bool = True) -> TrainedModel:
    pixels = images_of(count).pixels
    held_out = ImageSet(pixels, np.arange(count) % 2 if labelled else None)
    subject = subject_of(convolutional(), held_out, ImageSet(images_of(20, 1).pixels, np.arange(20) % 2))
    classifier_or_none: Any = ByBrightness() if classifier else None
    return replace(subject, classifier=classifier_or_none)


def test_a_class_is_kept_where_the_classifier_sees_it_in_the_rounded_image() -> None:
    images = torch.full((4, *SHAPE), 0.1)
    images[2:] = 1.5  # nominally in [0, 1]: clamped, not wrapped
    found = class_columns(model_of(), images, [0, 1, 1, None])
    assert found == {"class_kept": [1, 0, 1, None], "classifier": [ByBrightness.digest] * 4}
    assert class_columns(model_of(classifier=False), images, [0, 1, 1, None]) == {
        "class_kept": [None] * 4,
        "classifier": [None] * 4,
    }


def test_several_images_of_one_are_compared_with_it() -> None:
    subject = model_of()
    batch = choose(Inversion(images=3), subject, 0)
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(0))
    found = kept_columns(subject, batch, images)
    for place, image in enumerate(images.numpy()):
        expected = ink_kept(image, batch.images[place // 2].numpy())._asdict()
        assert {name: found[name][place] for name in expected} == expected


def test_typicality_is_by_the_training_images() -> None:
    subject = model_of()
    batch = choose(Inversion(images=4), subject, 0)
    pixels = subject.held_out.pixels[list(batch.indices)]
    expected = [one and one.distance for one in typicality(pixels, batch.labels, class_centres(subject.real))]
    assert [row["class_distance"] for row in typicality_columns(subject, batch)] == expected
    assert None not in expected


@pytest.mark.parametrize("kind", SMALL)
def test_every_kind_tells_it_and_without_classes_or_a_classifier_there_is_no_class(kind: str) -> None:
    evaluation = KINDS[kind].model_validate(SMALL[kind])
    assert evaluation.uses_classifier
    assert evaluation.reject(model_of().settings) is None
    for labelled, classifier in ((True, True), (True, False), (False, False)):
        rows = compute_shard(evaluation, model_of(labelled=labelled, classifier=classifier), 0).rows
        assert {row["class_kept"] for row in rows} <= ({0, 1} if classifier else {None})
        assert {row["classifier"] for row in rows} == {ByBrightness.digest if classifier else None}
        if kind != "restoration":
            assert {type(row["typical"]) for row in rows} == {bool if labelled else type(None)}
            assert all(row["ink_ratio"] > 0 for row in rows)


def test_a_claim_can_name_typical_images_of_data_with_classes() -> None:
    settings = model_of().settings
    faces = trial_settings(data={"name": "celeba"})
    for kind in SMALL.keys() - {"restoration"}:
        assert KINDS[kind]().values_of("typical", settings) == (False, True)
        assert KINDS[kind]().values_of("typical", faces) == (None,)
        assert KINDS[kind]().reject(faces) is None
