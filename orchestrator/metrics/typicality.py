"""How typical images are of their classes: their distance from the mean image of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from orchestrator.data.images import ImageSet

_AT_ONCE = 1024


class Typicality(NamedTuple):
    """How typical an image is of its class."""

    distance: float
    """Mean squared difference from the mean training image of its class, in [0, 1]."""
    typical: bool
    """Whether the distance is at most the median one of the training images of its class."""


class ClassCentre(NamedTuple):
    """Where a class's training images lie."""

    mean: NDArray[np.float64]
    """Their mean (c, h, w), in [0, 1]."""
    median: float
    """The median of their mean squared differences from it."""


def class_centres(training: ImageSet) -> dict[int, ClassCentre]:
    """The centre of each class that a training image has; none without classes."""
    centres: dict[int, ClassCentre] = {}
    for label in [] if training.labels is None else np.unique(training.labels).tolist():
        members = np.flatnonzero(training.labels == label)
        mean = _mean(training.pixels, members)
        median = float(np.median(np.concatenate([*_distances(training.pixels, members, mean)])))
        centres[label] = ClassCentre(mean, median)
    return centres


def typicality(
    pixels: NDArray[np.uint8], labels: Sequence[int | None], centres: Mapping[int, ClassCentre]
) -> list[Typicality | None]:
    """The typicality of images (n, c, h, w) by the training images of their classes.

    None for an image without a class, or of a class that no training image has. The mean image of a class is the
    nearest-mean classifier's prototype: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning (2009),
    section 4.3 with equal spherical covariances.
    """
    found: list[Typicality | None] = [None] * len(labels)
    for label, centre in centres.items():
        places = np.flatnonzero([one == label for one in labels])
        if not len(places):
            continue
        for place, distance in zip(places, np.concatenate([*_distances(pixels, places, centre.mean)]), strict=True):
            found[place] = Typicality(float(distance), bool(distance <= centre.median))
    return found


def _mean(pixels: NDArray[np.uint8], members: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean image (c, h, w) in [0, 1], in bounded memory."""
    parts = (pixels[members[first : first + _AT_ONCE]] for first in range(0, len(members), _AT_ONCE))
    sums: NDArray[np.float64] = sum((part.sum(0, dtype=np.float64) for part in parts), np.zeros(pixels.shape[1:]))
    return sums / (255 * len(members))


def _distances(
    pixels: NDArray[np.uint8], members: NDArray[np.int64], mean: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """Mean squared differences from ``mean`` of the images at ``members``, in parts."""
    for first in range(0, len(members), _AT_ONCE):
        differences = pixels[members[first : first + _AT_ONCE]] / 255 - mean
        yield np.square(differences).reshape(len(differences), -1).mean(1)
