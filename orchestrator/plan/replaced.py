"""Results that others take the place of, since the images are no longer those that they are of: moved, never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.evaluate.evaluation import FOLDER as EVALUATIONS

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from orchestrator.store.location import Store

REPLACED = "replaced"
"""Below it lies a folder for each set of images, laid out as a job's results are."""


def set_aside(store: Store, fingerprints: Mapping[str, str]) -> None:
    """Move all that storage has of some trials to ``replaced/<fingerprint>/``, by their ids and the images they are of.

    A trial's row goes last: whoever is interrupted begins again. Raises StorageError.
    """
    if not fingerprints:
        return
    keys: dict[str, list[str]] = {trial_id: [] for trial_id in fingerprints}
    for folder in ("checkpoints", "samples", EVALUATIONS, "metrics", "trials"):
        for key in store.keys(folder):
            if (trial_id := _trial_of(key, keys)) is not None:
                keys[trial_id].append(key)

    def move(trial_id: str) -> None:
        for key in keys[trial_id]:
            store.write(f"{REPLACED}/{fingerprints[trial_id][:12]}/{key}", store.read(key))
        for key in keys[trial_id]:
            store.delete(key)

    with ThreadPoolExecutor(store.parallel_reads) as pool:
        list(pool.map(move, keys))


def _trial_of(key: str, trial_ids: Container[str]) -> str | None:
    """The trial whose id a part of the key begins with, as in ``<id>.pt``, ``<id>/epoch-0001.png``, ``<id>-...``."""
    names = (part.partition(".")[0].partition("-")[0] for part in key.split("/")[1:])
    return next((name for name in names if name in trial_ids), None)
