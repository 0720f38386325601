"""The record of a job that was handed to a cluster, stored beside its results until the run begins.

The command that hands a job over writes it, and the run removes it as it begins: from then on run.json has the state.
Where the run fails before, the record keeps the reason.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.state.records import read_record

if TYPE_CHECKING:
    from orchestrator.store.location import Store

_KEY = "handover.json"


@dataclass(frozen=True)
class Handover:
    """The cluster a job was handed to, its id in Ray Jobs, and why it failed to begin, where that is known."""

    address: str
    submission_id: str
    handed_over_at: float
    error: str | None = None

    def __str__(self) -> str:
        return f"handed over to {self.address} as {self.submission_id}"


def write_handover(store: Store, handover: Handover) -> None:
    """Replace the stored record. Raises StorageError."""
    store.write(_KEY, json.dumps(asdict(handover)).encode())


def read_handover(store: Store) -> Handover | None:
    """The last hand-over, unless its run has begun. Raises StorageError where its record is damaged."""
    return read_record(store, _KEY, Handover)


def note_failure(store: Store, handover: Handover, error: str) -> None:
    """Store why the hand-over failed, unless a later one has replaced it. Raises StorageError."""
    if read_handover(store) == handover:
        write_handover(store, replace(handover, error=error))


def settle_handover(store: Store, submission_id: str | None) -> bool:
    """Remove the record when a run begins; returns whether there was one. Raises StorageError.

    The record of another submission that may still begin stays.
    """
    handover = read_handover(store)
    if handover is not None and (handover.error is not None or handover.submission_id == submission_id):
        store.delete(_KEY)
    return handover is not None
