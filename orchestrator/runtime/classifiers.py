"""The classifiers that samples are measured by: trained once for the same images, kept for all jobs of a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray

from orchestrator.errors import DataError, NotFoundError
from orchestrator.plan.estimate import MOST_CPUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.plan.plan import Plan
    from orchestrator.store.location import Store

FOLDER = "_classifiers"
"""Beside the jobs, none of which can have such a name."""


def classifiers_for(
    images: Mapping[Dataset, ImageSet],
    plan: Plan,
    store: Store,
    say: Callable[[str], None],
    stage: Callable[[str], None],
) -> dict[Dataset, bytes | None]:
    """Of each data set its classifier as bytes, None where it has no classes; ``store`` is a job's root.

    Those that storage lacks are trained on a device of the cluster, as trials are, and stored. Raises DataError where
    a data set's held-out images cannot be read, StorageError.
    """
    shelf = store.sibling(FOLDER)
    return {data: _classifier(data, some, plan, shelf, say, stage) for data, some in images.items()}


def _classifier(
    data: Dataset,
    images: ImageSet,
    plan: Plan,
    shelf: Store,
    say: Callable[[str], None],
    stage: Callable[[str], None],
) -> bytes | None:
    from orchestrator.metrics.requirements import unmeasured

    for clause in unmeasured(images):
        say(f"note: the images of {data.name} {clause}")
    if not images.has_classes:
        return None
    from orchestrator.metrics.classifier import content_key

    key = f"{content_key(images)}.pt"
    known = _kept(shelf, key, say)
    if known is not None:
        return known
    stage(f"training a classifier of {data.name}, which samples are measured by")
    placement = next(iter(plan.placements.values()))
    cpus = placement.cpus if placement.gpus else _processors(placement.cpus)
    task = train_task.options(num_cpus=cpus, num_gpus=placement.gpus)
    trained: bytes
    # Loaded here, as all images are: in a task a relative root would mean a folder of its node.
    shared = [ray.put(images), ray.put(data.load("test"))]
    trained, accuracy = ray.get(task.remote(shared, placement.device, cpus))
    shelf.write(key, trained)
    hits = "no held-out images" if accuracy is None else f"{accuracy:.1%} of held-out images right"
    say(f"classifier of {data.name}: {hits}; kept in {shelf.uri}/{key}")
    return trained


def _kept(shelf: Store, key: str, say: Callable[[str], None]) -> bytes | None:
    """The classifier that an earlier run left; None where there is none, or it is damaged."""
    from orchestrator.metrics.classifier import load

    try:
        known = shelf.read(key)
        load(known)
    except NotFoundError:
        return None
    except DataError:
        say(f"note: {shelf.uri}/{key} is damaged and made anew")
        return None
    return known


def _processors(least: int) -> int:
    """Those of a node of the cluster, up to as many as are of use; it has nothing else to do yet."""
    there = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return max(least, min(MOST_CPUS, max(there, default=least)))


def _train(images: list[ray.ObjectRef], device: str, threads: int) -> tuple[bytes, float | None]:
    import torch

    from orchestrator.metrics.classifier import dump, train_classifier

    torch.set_num_threads(threads)
    training, held_out = ray.get(images)
    classifier = train_classifier(training, held_out, device)
    return dump(classifier), classifier.accuracy


train_task = ray.remote(_train)
