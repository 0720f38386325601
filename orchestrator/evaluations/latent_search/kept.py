"""What of held-out images was kept on the way through the latent space: their class and their ink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.data.ranges import signed_from_unit, to_bytes
from orchestrator.metrics.ink import ink_kept
from orchestrator.metrics.typicality import class_centres, typicality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch


def class_columns(model: TrainedModel, images: Tensor, labels: Sequence[int | None]) -> dict[str, list[Any]]:
    """Of each image (n, c, h, w), nominally in [0, 1], whether the classifier sees the class ``labels`` has, 1 or 0.

    Images are rounded to bytes first. ``class_kept`` is None without a label or a classifier, whose digest is
    ``classifier``.
    """
    if model.classifier is None:
        return {"class_kept": [None] * len(labels), "classifier": [None] * len(labels)}
    seen = model.classifier(to_bytes(signed_from_unit(images))).probabilities.argmax(1).tolist()
    kept = [None if label is None else int(one == label) for one, label in zip(seen, labels, strict=True)]
    return {"class_kept": kept, "classifier": [model.classifier.digest] * len(labels)}


def kept_columns(model: TrainedModel, batch: ImageBatch, images: Tensor) -> dict[str, list[Any]]:
    """``class_columns`` and ``ink_kept`` of images (n r, c, h, w): r images in a row for each of the n of the batch."""
    each = len(images) // len(batch.labels)
    labels = [label for label in batch.labels for _ in range(each)]
    found, clean = (part.detach().cpu().numpy() for part in (images, batch.images))
    ink = [ink_kept(image, clean[place // each]) for place, image in enumerate(found)]
    names = ("ink_ratio", "box_ratio", "small_recall", "large_recall")
    return {
        **class_columns(model, images, labels),
        **{name: [getattr(one, name) for one in ink] for name in names},
    }


def typicality_columns(model: TrainedModel, batch: ImageBatch) -> list[dict[str, Any]]:
    """``class_distance`` and ``typical`` of each image; None without a class."""
    pixels = model.held_out.pixels[list(batch.indices)]
    centres = model.cache.get(("class centres", model.settings.data), lambda: class_centres(model.real))
    return [
        {"class_distance": one and one.distance, "typical": one and one.typical}
        for one in typicality(pixels, batch.labels, centres)
    ]
