"""Trials in storage that a search would propose anew: those of an earlier grid, or of a search in another space."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import SettingsError
from orchestrator.spec.columns import declared
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.store.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.spec.grid import Axis
    from orchestrator.spec.job import Job
    from orchestrator.spec.search import Space
    from orchestrator.store.location import Store


def with_known(job: Job, store: Store) -> Job:
    """A search with the proposals that all its seeds were trained of; another job as it is. Raises StorageError."""
    if job.space is None:
        return job
    rows = read_table(store, "trials", schema=declared("trials")).whole(store).to_pylist()
    return replace(job, proposals=tuple(known_proposals(job, rows)))


def known_proposals(job: Job, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The proposals of the job's space of which ``rows`` of trials/ hold every trial, each once."""
    assert job.space is not None
    stored = {row["trial_id"] for row in rows if row["spec_version"] == SPEC_VERSION}
    found: set[str] = set()
    for row in rows:
        if row["trial_id"] in found or row["trial_id"] not in stored:
            continue
        for proposal in _fitting(job.space, row):
            try:
                ids = {trial.id for trial in job.trials_of(proposal)}
            except SettingsError:
                continue
            if row["trial_id"] in ids and ids <= stored:
                found |= ids
                yield proposal
                break


def _fitting(space: Space, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Proposals that may have made the row; whether they have, its id tells."""
    numbers = {one.name: row.get(one.name) for one in space.ranges}
    if all(one.holds(numbers[one.name]) for one in space.ranges):
        for entries in itertools.product(*(_entries(axis, row) for axis in space.axes)):
            yield {path: value for entry in entries for path, value in entry.items()} | numbers


def _entries(axis: Axis, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of an axis that the row does not contradict: whole sections and lists are not compared."""

    def agrees(path: str, value: Any) -> bool:
        return isinstance(value, dict | list) or path not in row or row[path] == value

    return [entry for entry in axis.entries if all(agrees(path, value) for path, value in entry.items())]
