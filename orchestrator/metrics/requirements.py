"""The images that sample metrics need; without torch, since settings and drivers check them before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet

Resize = Literal["torch_fidelity", "clean"]
"""How images come to the size of Inception's."""


class Comparison(NamedTuple):
    """How samples are compared with real images, beside the feature extractor: see ``SampleQuality``."""

    resize: Resize = "torch_fidelity"
    most_real: int | None = None


CLASSIFIER_FEATURES, INCEPTION_FEATURES = 128, 2048
"""Features of an image, by extractor."""
NEIGHBOURS = 5
"""k of PRDC, whose balls reach to the k-th nearest neighbour: it needs more images than that."""


def takes_fid(real: int, samples: int, features: int) -> bool:
    """Whether there are enough images of each kind for the covariance of the features: more images than features."""
    return min(real, samples) > features


def measures_fid(images: ImageSet) -> bool:
    """Whether a trial on these images measures FID: they need classes, and more images than classifier features."""
    return images.has_classes and len(images) > CLASSIFIER_FEATURES


def unmeasured(images: ImageSet) -> list[str]:
    """The sample metrics that are null in training on these images, and why: a clause for each."""
    clauses = []
    alike = images.all_alike  # diversity is relative to their distances, which are 0
    if not images.has_classes:
        no_classes = "have no classes: neither FID nor modes are measured while training"
        clauses.append(no_classes if alike else f"{no_classes}, and only samples that are all alike tell of a collapse")
    elif len(images) <= CLASSIFIER_FEATURES:
        clauses.append(
            f"are {len(images)}, no more than the classifier's {CLASSIFIER_FEATURES} features: FID is not measured "
            "while training"
        )
    if alike:
        clauses.append("are all the same: the diversity of samples is not measured while training")
    return clauses
