"""Which held-out images evaluations were computed on, for plans to compare with the present ones."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.state.records import read_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from orchestrator.data import Dataset
    from orchestrator.state.due import Due
    from orchestrator.store.location import Store

_KEY = "evaluated.json"


def read_held_out(store: Store) -> dict[str, str]:
    """Fingerprints of held-out images by ``Due.name``. Raises StorageError where the file is damaged."""
    return read_record(store, _KEY, dict[str, str]) or {}


def record_held_out(store: Store, dues: Sequence[Due]) -> None:
    """Store on which held-out images these evaluations are about to be computed. Raises StorageError."""
    if fingerprints := _fingerprints(dues):
        store.write(_KEY, json.dumps({**read_held_out(store), **fingerprints}, indent=0, sort_keys=True).encode())


def forget_held_out(store: Store, trials: Collection[str]) -> None:
    """Remove what is stored of the evaluations of some trials. Raises StorageError."""
    recorded = read_held_out(store)
    kept = {name: images for name, images in recorded.items() if name.partition("-")[0] not in trials}
    if kept != recorded:
        store.write(_KEY, json.dumps(kept, indent=0, sort_keys=True).encode())


def with_other_images(dues: Sequence[Due], recorded: Mapping[str, str]) -> tuple[Due, ...]:
    """The same evaluations; all shards are missing of those that were computed on other held-out images.

    An evaluation whose images are not present counts as computed on the same.
    """
    present = _fingerprints([due for due in dues if due.name in recorded])
    return tuple(
        due.anew(recorded[due.name]) if due.name in present and present[due.name] != recorded[due.name] else due
        for due in dues
    )


def _fingerprints(dues: Iterable[Due]) -> dict[str, str]:
    """A hash of all held-out images of an evaluation, by its name, where all of them are present."""
    cache: dict[Dataset, str | None] = {}
    hashes = {}
    for due in dues:
        test_split = [due.trial.settings.data] if "test" in due.evaluation.splits else []
        fingerprints = [_fingerprint(data, cache) for data in (*test_split, *due.evaluation.others)]
        present = [fingerprint for fingerprint in fingerprints if fingerprint is not None]
        if present and len(present) == len(fingerprints):
            hashes[due.name] = hashlib.sha256("".join(present).encode()).hexdigest()[:32]
    return hashes


def _fingerprint(data: Dataset, cache: dict[Dataset, str | None]) -> str | None:
    """The fingerprint of the held-out images, computed once for all evaluations: a folder may hold many files."""
    if data not in cache:
        try:
            cache[data] = data.fingerprint("test")
        except DataError:  # reported where the images are needed
            cache[data] = None
    return cache[data]
