"""The record of a job that was handed to a cluster: beside its results until the run begins, or for what became of it.

Whoever hands a job over writes it, and the run removes it as it begins: from then on run.json tells the rest.
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
    """Where a job was handed to, what Ray Jobs calls it there, and why it came to nothing where that is known."""

    address: str
    submission_id: str
    handed_over_at: float
    error: str | None = None

    def __str__(self) -> str:
        return f"handed over to {self.address} as {self.submission_id}"


def write_handover(store: Store, handover: Handover) -> None:
    """Put it in place of the one before. Raises StorageError."""
    store.write(_KEY, json.dumps(asdict(handover)).encode())


def read_handover(store: Store) -> Handover | None:
    """The last hand-over, if no run has come of it yet. Raises StorageError where its record is damaged."""
    return read_record(store, _KEY, Handover)


def note_failure(store: Store, handover: Handover, error: str) -> None:
    """Keep why the hand-over came to nothing, unless a later one has taken its place. Raises StorageError."""
    if read_handover(store) == handover:
        write_handover(store, replace(handover, error=error))


def settle_handover(store: Store, submission_id: str | None) -> bool:
    """Remove the record now that a run has begun; whether there was one. Raises StorageError.

    One that may still begin stays where the run is another's.
    """
    handover = read_handover(store)
    if handover is not None and (handover.error is not None or handover.submission_id == submission_id):
        store.delete(_KEY)
    return handover is not None
