"""Moves results aside that were computed on other images than the present ones, before new ones replace them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.evaluations.evaluation import FOLDER as EVALUATIONS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from orchestrator.state.due import Due
    from orchestrator.store.location import Store

REPLACED = "replaced"
"""It has a folder for each set of images, laid out like a job's results."""
_FOLDERS = ("checkpoints", "samples", EVALUATIONS, "metrics", "trials")


def set_aside(store: Store, fingerprints: Mapping[str, str]) -> None:
    """Move all results of some trials to ``replaced/<fingerprint>/``; ``fingerprints`` has those of their images by id.

    Raises StorageError.
    """
    keys = [key for folder in _FOLDERS for key in store.keys(folder)] if fingerprints else []
    trials = ((_trial_of(key, fingerprints), key) for key in keys)
    _move(store, [(fingerprints[trial_id], key) for trial_id, key in trials if trial_id is not None])


def set_evaluations_aside(store: Store, dues: Iterable[Due]) -> None:
    """Move the evaluations likewise that were computed on other held-out images. Raises StorageError."""
    stale = {due.name: due.other_images for due in dues if due.other_images is not None}
    names = ((stale.get(key.rpartition("/")[2].rpartition("-")[0]), key) for key in store.keys(EVALUATIONS))
    _move(store, [(fingerprint, key) for fingerprint, key in names if fingerprint is not None] if stale else [])


def _move(store: Store, keys: Sequence[tuple[str, str]]) -> None:
    """Copy each key below the folder of its images, then delete them, rows last: an interrupted move starts again."""

    def copy(item: tuple[str, str]) -> None:
        fingerprint, key = item
        store.write(f"{REPLACED}/{fingerprint[:12]}/{key}", store.read(key))

    with ThreadPoolExecutor(store.parallel_reads) as pool:
        list(pool.map(copy, keys))
        list(pool.map(store.delete, [key for _, key in keys if not key.startswith("trials/")]))
        list(pool.map(store.delete, [key for _, key in keys if key.startswith("trials/")]))


def _trial_of(key: str, trial_ids: Container[str]) -> str | None:
    """The trial whose id a part of the key begins with, as in ``<id>.pt``, ``<id>/epoch-0001.png``, ``<id>-...``."""
    names = (part.partition(".")[0].partition("-")[0] for part in key.split("/")[1:])
    return next((name for name in names if name in trial_ids), None)
