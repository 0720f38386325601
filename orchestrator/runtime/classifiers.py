"""The classifiers that samples are measured by: trained once for the same images, kept for all jobs of a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray

from orchestrator.errors import CheckpointError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.plan.plan import Plan
    from orchestrator.store.location import Store

FOLDER = "_classifiers"
"""Beside the jobs, none of which can have such a name."""


def classifiers_for(
    images: Mapping[Dataset, ImageSet], plan: Plan, store: Store, say: Callable[[str], None]
) -> dict[Dataset, bytes | None]:
    """Of each data set its classifier as bytes, None where it has no classes; ``store`` is a job's root.

    Those that storage lacks are trained on a device of the cluster, as trials are, and stored. Raises StorageError.
    """
    shelf = store.sibling(FOLDER)
    return {data: _classifier(data, some, plan, shelf, say) for data, some in images.items()}


def _classifier(data: Dataset, images: ImageSet, plan: Plan, shelf: Store, say: Callable[[str], None]) -> bytes | None:
    if images.labels is None or len(set(images.labels.tolist())) < 2:
        return None
    from orchestrator.measures.classifier import content_key

    key = f"{content_key(images)}.pt"
    known = _kept(shelf, key, say)
    if known is not None:
        return known
    say(f"training the classifier of {data.name}, which samples are measured by")
    placement = next(iter(plan.placements.values()))
    task = train_task.options(num_cpus=placement.cpus, num_gpus=placement.gpus)
    trained: bytes = ray.get(task.remote([ray.put(images)], placement.device, placement.cpus))
    shelf.write(key, trained)
    return trained


def _kept(shelf: Store, key: str, say: Callable[[str], None]) -> bytes | None:
    """The classifier that an earlier run left; None where there is none, or it is damaged."""
    from orchestrator.measures.classifier import load

    try:
        known = shelf.read(key)
        load(known)
    except NotFoundError:
        return None
    except CheckpointError:
        say(f"note: {shelf.uri}/{key} is damaged and made anew")
        return None
    return known


def _train(images: list[ray.ObjectRef], device: str, threads: int) -> bytes:
    import torch

    from orchestrator.measures.classifier import dump, train_classifier

    torch.set_num_threads(threads)
    return dump(train_classifier(ray.get(images[0]), device))


train_task = ray.remote(_train)
