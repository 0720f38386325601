"""The proposals of a search, in one small file beside its results: which trials a job has that no grid tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.state.records import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

KEY = "proposals.json"


def read_proposals(store: Store) -> list[dict[str, Any]]:
    """All proposals so far, the first ones first. Raises StorageError where the file is damaged."""
    return read_record(store, KEY, list[dict[str, Any]]) or []


def write_proposals(store: Store, proposals: Sequence[dict[str, Any]]) -> None:
    """Store these proposals, and after them those that are there and lie outside the present space.

    Raises StorageError.
    """
    others = [proposal for proposal in read_proposals(store) if proposal not in proposals]
    store.write(KEY, json.dumps([*proposals, *others]).encode())


def with_proposals(job: Job, store: Store) -> Job:
    """The job with the trials that its search has proposed, by storage first; one without a search as it is.

    Raises StorageError.
    """
    return job if job.space is None else job.proposing([*read_proposals(store), *job.proposals])
