"""Pairs of held-out images, the ways between them, and what is told of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.data.batches import to_bytes
from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import Found
from orchestrator.evaluations.image_batch import take
from orchestrator.evaluations.interpolation.pairs import pair_up
from orchestrator.evaluations.interpolation.paths import (
    SHARES,
    classes_met,
    detour,
    largest_step,
    linear,
    path_length,
    spherical,
    third_classes,
)
from orchestrator.evaluations.interpolation.settings import SHOWN, Interpolation
from orchestrator.evaluations.latent_search.inverted import latents_of, made
from orchestrator.evaluations.sampling import images_of
from orchestrator.measures.pictures import mse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.evaluations.evaluation import Subject
    from orchestrator.evaluations.image_batch import Chosen
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


def compute(settings: Interpolation, subject: Subject, shard: int) -> Found:
    """The ways between the pairs of one part; of the first part a picture of each way too."""
    data, labels = subject.settings.data, subject.held_out.labels
    problem = settings.reject_images(data, subject.splits)
    if problem or subject.classifier is None or labels is None:
        raise DataError(f"{settings.kind}: {problem or settings.classless(data)}")
    pairs = pair_up(labels, settings.pairs)
    first = shard * settings.shard_pairs
    walked = walk(settings, subject, subject.classifier, pairs[first : first + settings.shard_pairs])
    pictures = {} if shard else {way: tiled(strips(walked, way, SHOWN)) for way in walked.ways}
    return Found(rows_of(walked, first), {"points": points_of(walked, first)}, pictures)


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
