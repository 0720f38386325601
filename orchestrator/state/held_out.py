"""Which held-out images evaluations were computed on, for plans to compare with those that are there."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.state.records import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.data import Dataset
    from orchestrator.state.due import Due
    from orchestrator.store.location import Store

_KEY = "evaluated.json"


def read_looked_at(store: Store) -> dict[str, str]:
    """Fingerprints of held-out images by ``Due.name``. Raises StorageError where the file is damaged."""
    return read_record(store, _KEY, dict[str, str]) or {}


def note_looked_at(store: Store, dues: Sequence[Due]) -> None:
    """Keep on which held-out images these are about to be computed. Raises StorageError."""
    if found := _fingerprints(dues):
        store.write(_KEY, json.dumps({**read_looked_at(store), **found}, indent=0, sort_keys=True).encode())


def with_other_images(dues: Sequence[Due], looked_at: Mapping[str, str]) -> tuple[Due, ...]:
    """The same evaluations; those of other held-out images than are there now are to be made anew.

    Where there are no images to be compared, an evaluation counts as of the same.
    """
    now = _fingerprints([due for due in dues if due.name in looked_at])
    return tuple(
        due.anew(looked_at[due.name]) if due.name in now and now[due.name] != looked_at[due.name] else due
        for due in dues
    )


def _fingerprints(dues: Iterable[Due]) -> dict[str, str]:
    """By name a hash of all held-out images that an evaluation looks at, of those whose images are there."""
    known: dict[Dataset, str | None] = {}
    found = {}
    for due in dues:
        own = [due.trial.settings.data] if "test" in due.evaluation.splits else []
        prints = [_fingerprint(data, known) for data in (*own, *due.evaluation.others)]
        there = [one for one in prints if one is not None]
        if there and len(there) == len(prints):
            found[due.name] = hashlib.sha256("".join(there).encode()).hexdigest()[:32]
    return found


def _fingerprint(data: Dataset, known: dict[Dataset, str | None]) -> str | None:
    """Looked at once for all evaluations: a folder may hold many files."""
    if data not in known:
        try:
            known[data] = data.fingerprint("test")
        except DataError:  # whoever needs the images says so
            known[data] = None
    return known[data]
