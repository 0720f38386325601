"""Distances from the mean image of a class, against scikit-learn and images whose mean is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from orchestrator.data.images import ImageSet
from orchestrator.metrics import typicality as module
from orchestrator.metrics.typicality import class_centres, typicality


@pytest.mark.parametrize("at_once", [7, 1024])
def test_means_are_the_centroids_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    training = ImageSet(random.integers(0, 256, (60, 2, 5, 4), np.uint8), random.integers(0, 3, 60))
    pixels, labels = random.integers(0, 256, (9, 2, 5, 4), np.uint8), [0, 1, 2, 2, 1, 0, 0, 2, 1]
    flat = training.pixels.reshape(60, -1) / 255
    centroids = NearestCentroid().fit(flat, training.labels).centroids_
    for image, label, found in zip(pixels, labels, typicality(pixels, labels, class_centres(training)), strict=True):
        assert found is not None
        distance = np.square(image.ravel() / 255 - centroids[label]).mean()
        median = np.median(np.square(flat[training.labels == label] - centroids[label]).mean(1))
        assert found.distance == pytest.approx(distance)
        assert found.typical == (distance <= median)


def test_an_image_without_class_or_training_images_of_its_class_has_none() -> None:
    pixels = np.zeros((2, 1, 3, 3), np.uint8)
    training = ImageSet(np.full((4, 1, 3, 3), 51, np.uint8), np.array([0, 0, 1, 1]))
    centres = class_centres(training)
    found = typicality(pixels, [0, 5], centres)
    assert found[1] is None
    assert found[0] is not None
    assert found[0].distance == pytest.approx(0.04)
    assert not found[0].typical
    assert typicality(pixels, [None, None], centres) == [None, None]
    assert typicality(pixels, [0, 1], class_centres(ImageSet(training.pixels))) == [None, None]
