"""The ids of a job's trials in storage: an earlier version may have hashed their settings differently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.spec.columns import declared
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.spec.recorded import current_id
from orchestrator.state.proposals import with_proposals
from orchestrator.store.bundles import trial_of
from orchestrator.store.tables import parquet_keys, read_files
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from orchestrator.spec.job import Job, Trial
    from orchestrator.store.location import Store

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class StoredRow:
    """The id of a trial's row, and the spec version under which it was written."""

    trial_id: str
    spec_version: int

    @property
    def earlier(self) -> bool:
        """Whether the same settings may mean other numbers today."""
        return self.spec_version != SPEC_VERSION


@dataclass(frozen=True)
class StoredJob:
    """A job whose trials have their ids in storage.

    ``job`` has the ids of all rows, ``today`` only those of rows of the present spec version: trials of an earlier one
    are shown, but not continued. ``versions`` has the spec versions of earlier rows, by trial id. ``left_out`` has a
    line for each row's file that could not be read.
    """

    job: Job
    today: Job
    versions: Mapping[str, int]
    left_out: tuple[str, ...] = ()


def stored_job(job: Job, store: Store) -> StoredJob:
    """The job, with the trials that its search has proposed, and the ids that its trials have in storage.

    Raises StorageError.
    """
    job = with_proposals(job, store)
    rows, left_out = stored_rows(job.trials, store)
    present = {trial_id: row for trial_id, row in rows.items() if not row.earlier}
    versions = {row.trial_id: row.spec_version for row in rows.values() if row.earlier}
    return StoredJob(_renamed(job, rows), _renamed(job, present), versions, left_out)


def _renamed(job: Job, rows: Mapping[str, StoredRow]) -> Job:
    named = (replace(trial, id=rows[trial.id].trial_id) if trial.id in rows else trial for trial in job.trials)
    return replace(job, trials=tuple(named))


def stored_rows(trials: Iterable[Trial], store: Store) -> tuple[dict[str, StoredRow], tuple[str, ...]]:
    """The stored id of each trial that has a row, by the id that it has today, and the files left out.

    A row belongs to a trial if its file has the trial's id. Only where there is none, the settings in the other rows
    are compared; among several the latest version counts, and among these the row that was written last. Raises
    StorageError.
    """
    wanted = {trial.id for trial in trials}
    stored = {trial_of(key) for key in parquet_keys(store, "trials")}
    rows = {trial_id: StoredRow(trial_id, SPEC_VERSION) for trial_id in wanted & stored}
    if len(rows) == len(wanted) or not stored - wanted:
        return rows, ()
    others, left_out = _by_settings(store, sorted(stored - wanted), wanted)
    return others | rows, left_out


def _by_settings(
    store: Store, others: list[str], wanted: Collection[str]
) -> tuple[dict[str, StoredRow], tuple[str, ...]]:
    read = read_files(store, [f"trials/{other}.parquet" for other in others], schema=declared("trials"))
    by_today: dict[str, StoredRow] = {}
    rows = [{name: value for name, value in row.items() if value is not None} for row in read.table.to_pylist()]
    rows.sort(key=lambda row: (_version(row.get("spec_version")), row.get("ended_at") or _BEGINNING))
    for row in rows:
        today = current_id(row)
        if today is not None and today in wanted:
            by_today[today] = StoredRow(row["trial_id"], _version(row.get("spec_version")))
    return by_today, read.left_out


def _version(value: int | None) -> int:
    """The version of a row; the first rows had none, and count as 0."""
    return value or 0


def describe_versions(versions: Iterable[int]) -> str:
    """``27 trials of spec version 4``; with several versions, the count of each."""
    counts = sorted(Counter(versions).items())
    return ", ".join(f"{plural(n, 'trial')} of spec version {version}" for version, n in counts)


def notice_of(versions: Collection[int]) -> list[str]:
    """A notice for readers of results with rows of these earlier spec versions; empty where there are none."""
    if not versions:
        return []
    results = describe_versions(versions)
    return [
        f"Results of {results}: the present version is {SPEC_VERSION}, under which the same settings may give others."
    ]
