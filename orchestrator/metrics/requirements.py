"""How many images measures take, and of what kind; without torch, since settings and drivers ask before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet

CLASSIFIER_FEATURES, INCEPTION_FEATURES = 128, 2048
"""Features of an image, by what sees it."""
NEIGHBOURS = 5
"""PRDC's balls reach to the neighbour of this number: they take more images than that."""


def takes_fid(real: int, samples: int, features: int) -> bool:
    """Whether so many images of each kind say enough of the covariance of so many features: more than these are."""
    return min(real, samples) > features


def measures_fid(images: ImageSet) -> bool:
    """Whether a trial that trains on these images measures FID: in the features of a classifier of enough of them."""
    return images.has_classes and len(images) > CLASSIFIER_FEATURES


def unmeasured(images: ImageSet) -> list[str]:
    """What training on these images leaves null of the measures of samples, and why: a clause each."""
    found = []
    alike = images.all_alike  # no distance between samples can be held against theirs
    if not images.has_classes:
        without = "have no classes: neither FID nor modes are measured while training"
        found.append(without if alike else f"{without}, and only samples that are all alike tell of a collapse")
    elif len(images) <= CLASSIFIER_FEATURES:
        found.append(
            f"are {len(images)}, no more than the classifier's {CLASSIFIER_FEATURES} features: FID is not measured "
            "while training"
        )
    if alike:
        found.append("are all the same: the diversity of samples is not measured while training")
    return found
