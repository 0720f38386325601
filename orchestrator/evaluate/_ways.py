"""Pairs of held-out images, the ways between them, and what is told of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from orchestrator.data.batches import to_bytes
from orchestrator.data.images import order_of
from orchestrator.evaluate._interpolation import (
    SHARES,
    classes_met,
    detour,
    largest_step,
    linear,
    path_length,
    spherical,
    third_classes,
)
from orchestrator.evaluate._inversion import latents_of, made
from orchestrator.evaluate._sampling import images_of
from orchestrator.evaluate.held_out import take
from orchestrator.measures.pictures import mse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from orchestrator.evaluate.evaluation import Subject
    from orchestrator.evaluate.held_out import Chosen
    from orchestrator.evaluate.interpolation import Interpolation
    from orchestrator.measures.classifier import Classifier


class Way(NamedTuple):
    """One way between each of n pairs, over the points of SHARES."""

    images: Tensor
    """(n, points, c, h, w) uint8"""
    features: Tensor
    """(n, points, f)"""
    classes: Tensor
    """(n, points)"""
    confidences: Tensor
    """(n, points): the probability of the class."""


class Walked(NamedTuple):
    """The ways between n pairs; ``chosen`` holds their first images, then their second ones."""

    chosen: Chosen
    errors: Tensor
    """(n,): mean squared error of the two ends."""
    digest: str
    ways: Mapping[str, Way]


def pair_up(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Places (pairs, 2) of held-out images: of the first image that is left, and the next like or unlike it.

    Pairs are like and unlike in turn; an image without a partner is passed over. Fewer than ``count`` where no more
    are left.
    """
    left = order_of(len(labels)).tolist()
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count and left:
        first, like = left.pop(0), len(pairs) % 2 == 0
        place = next((at for at, other in enumerate(left) if (labels[other] == labels[first]) == like), None)
        if place is not None:
            pairs.append((first, left.pop(place)))
    return np.array(pairs, np.int64).reshape(-1, 2)


def walk(settings: Interpolation, subject: Subject, classifier: Classifier, pairs: NDArray[np.int64]) -> Walked:
    """Invert the images of pairs (n, 2) and go both ways. Raises EvaluationError where what is met is not finite."""
    chosen = take(subject, pairs.T.flatten())
    latents = latents_of(settings, subject, chosen, settings.seed)
    first, second = torch.split(latents, len(pairs))
    errors = mse(made(subject, latents), chosen.images).view(2, -1).mean(0)
    ways = {way.__name__: _judge(subject, classifier, way(first, second)) for way in (linear, spherical)}
    return Walked(chosen, errors, classifier.digest, ways)


def _judge(subject: Subject, classifier: Classifier, latents: Tensor) -> Way:
    """What the classifier says of the points (n, points, latent_dim) of ways, rounded to bytes as pictures are."""
    pictures = torch.cat([to_bytes(images) for images in images_of(subject, latents.flatten(0, 1))])
    said = classifier(pictures)
    confidences, classes = said.probabilities.max(1)
    found = (pictures, said.features, classes, confidences)
    return Way(*(values.view(*latents.shape[:2], *values.shape[1:]) for values in found))


def rows_of(walked: Walked, first: int) -> list[dict[str, Any]]:
    """A row a pair and way; ``first`` is the number of the first pair."""
    count = len(walked.errors)
    numbers, labels = walked.chosen.numbers, walked.chosen.labels
    rows = []
    for name, way in walked.ways.items():
        measured = [measure(way.features).tolist() for measure in (path_length, detour, largest_step)]
        thirds = third_classes(way.classes)
        for at, met in enumerate(classes_met(way.classes)):
            length, longer, step = (values[at] for values in measured)
            ends = labels[at], labels[count + at]
            rows.append(
                {
                    "pair": first + at,
                    "first_id": numbers[at],
                    "second_id": numbers[count + at],
                    "first_label": ends[0],
                    "second_label": ends[1],
                    "alike": None if None in ends else ends[0] == ends[1],
                    "way": name,
                    "features": f"classifier:{walked.digest}",
                    "path_length": length,
                    "detour": None if math.isnan(longer) else longer,
                    "largest_step": step,
                    "classes": "-".join(map(str, met)),
                    "third_classes": len(thirds[at]),
                    "ends_mse": walked.errors[at].item(),
                }
            )
    return rows


def points_of(walked: Walked, first: int) -> list[dict[str, Any]]:
    """A row a point of each way."""
    return [
        {"pair": first + at, "way": name, "share": share, "class": label, "confidence": confidence}
        for name, way in walked.ways.items()
        for at, points in enumerate(zip(way.classes.tolist(), way.confidences.tolist(), strict=True))
        for share, label, confidence in zip(SHARES, *points, strict=True)
    ]


def strips(walked: Walked, way: str, count: int) -> Tensor:
    """The first ``count`` pairs (count, points + 2, c, h, w) in [0, 1]: second image, its way to the first, first."""
    first, second = torch.split(walked.chosen.images, len(walked.errors))
    points = walked.ways[way].images.float() / 255
    return torch.cat([second[:, None], points, first[:, None]], 1)[:count]
