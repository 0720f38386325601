"""The classifiers behind sample metrics: trained once for the same images, stored for all jobs of a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray

from orchestrator.errors import DataError, NotFoundError
from orchestrator.plan.estimate import MOST_CPUS
from orchestrator.runtime.device import choose_algorithms_by_rule
from orchestrator.state.layout import CLASSIFIERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.plan.plan import Plan
    from orchestrator.store.location import Store


def classifiers_for(
    images: Mapping[Dataset, ImageSet],
    plan: Plan,
    store: Store,
    notify: Callable[[str], None],
    stage: Callable[[str], None],
) -> dict[Dataset, bytes | None]:
    """The classifier of each data set as bytes, None for one without classes; ``store`` is a job's root.

    Classifiers that storage lacks are trained on a device of the cluster, as trials are, and stored. Raises DataError
    where a data set's held-out images cannot be read, StorageError.
    """
    shared_store = store.sibling(CLASSIFIERS)
    return {data: _classifier(data, image_set, plan, shared_store, notify, stage) for data, image_set in images.items()}


def _classifier(
    data: Dataset,
    images: ImageSet,
    plan: Plan,
    shared_store: Store,
    notify: Callable[[str], None],
    stage: Callable[[str], None],
) -> bytes | None:
    from orchestrator.metrics.requirements import unmeasured

    for clause in unmeasured(images):
        notify(f"note: the images of {data.name} {clause}")
    if not images.has_classes:
        return None
    from orchestrator.metrics.classifier import content_key

    key = f"{content_key(images)}.pt"
    stored = _load_stored(shared_store, key, notify)
    if stored is not None:
        return stored
    stage(f"training a classifier of {data.name}, which samples are measured by")
    placement = next(iter(plan.placements.values()))
    cpus = placement.cpus if placement.gpus else _processors(placement.cpus)
    # Not by ``.options()``: its process would then take others' tasks on other GPUs, while CUDA stays on the first.
    task = ray.remote(num_cpus=cpus, num_gpus=placement.gpus)(_train)
    trained: bytes
    # Loaded on the driver, as all images are: in a task a relative root would mean a folder of its node.
    image_sets = [ray.put(images), ray.put(data.load("test"))]
    trained, accuracy = ray.get(task.remote(image_sets, placement.device, cpus))
    shared_store.write(key, trained)
    hits = "no held-out images" if accuracy is None else f"{accuracy:.1%} of held-out images right"
    notify(f"classifier of {data.name}: {hits}; kept in {shared_store.uri}/{key}")
    return trained


def _load_stored(shared_store: Store, key: str, notify: Callable[[str], None]) -> bytes | None:
    """The classifier that an earlier run stored; None where there is none, or it is damaged."""
    from orchestrator.metrics.classifier import load

    try:
        stored = shared_store.read(key)
        load(stored)
    except NotFoundError:
        return None
    except DataError:
        notify(f"note: {shared_store.uri}/{key} is damaged; the classifier is trained again")
        return None
    return stored


def _processors(least: int) -> int:
    """CPUs of the largest node, ``least`` to MOST_CPUS; no trial runs yet, so that all of them are free."""
    cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return max(least, min(MOST_CPUS, max(cpus, default=least)))


def _train(images: list[ray.ObjectRef], device: str, threads: int) -> tuple[bytes, float | None]:
    import torch

    from orchestrator.metrics.classifier import dump, train_classifier

    torch.set_num_threads(threads)
    choose_algorithms_by_rule()
    training, held_out = ray.get(images)
    classifier = train_classifier(training, held_out, device)
    return dump(classifier), classifier.accuracy
