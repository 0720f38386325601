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


class Least(NamedTuple):
    """The least numbers of images with which a measure has a value."""

    train: int = 0
    held_out: int = 0
    samples: int = 0


def least_images(measure: str, features: int) -> Least:
    """What a measure of samples takes, by the name of its column; 0 where any number will do.

    Intervals are of halves of the samples, and ``fid_infinity`` is a line through the FIDs of at least three sizes,
    each of two samples a feature or more.
    """
    enough, half = features + 1, 2 * (NEIGHBOURS + 1)
    of_fid = Least(train=enough, samples=enough)
    known = {
        **dict.fromkeys(("fid", "best_fid"), of_fid),
        **dict.fromkeys(("fid_low", "fid_high"), of_fid._replace(samples=2 * enough)),
        "fid_infinity": of_fid._replace(samples=8 * features),
        "fid_held_out": Least(held_out=enough, samples=enough),
        "kid_held_out": Least(held_out=2),
        **dict.fromkeys(("copying", "copying_score"), Least(held_out=1)),
        **dict.fromkeys((f"{name}_{end}" for name in ("precision", "recall") for end in ("low", "high")), Least(half)),
    }
    return known.get(measure, Least())


def lacking(
    measure: str, features: int, *, train: int | None = None, held_out: int | None = None, samples: int | None = None
) -> str | None:
    """Of what a measure takes more than there is, as a clause; None where it has a value, or a number is not known."""
    least = least_images(measure, features)
    there = {
        "training images": (least.train, train),
        "held-out images": (least.held_out, held_out),
        "samples": (least.samples, samples),
    }
    for what, (needed, count) in there.items():
        if count is not None and count < needed:
            return f"which takes {needed:,} {what} or more, not {count:,}"
    return None


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
