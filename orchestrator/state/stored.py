"""Under which ids storage keeps the rows of a job's trials: an earlier version may have hashed settings differently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.spec.columns import declared
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.spec.recorded import current_id
from orchestrator.store.tables import parquet_keys, read_files

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
    """A job whose trials have the ids that storage knows them by.

    ``job`` has those of all rows, ``today`` only those of rows of the present spec version: what an earlier one
    trained is to be looked at, but not to be gone on with. ``versions`` are those of earlier rows, by trial id.
    ``left_out`` has a line for each row's file that could not be read.
    """

    job: Job
    today: Job
    versions: Mapping[str, int]
    left_out: tuple[str, ...] = ()


def stored_job(job: Job, store: Store) -> StoredJob:
    """The job as storage knows it. Raises StorageError."""
    rows, left_out = stored_rows(job.trials, store)
    present = {own: row for own, row in rows.items() if not row.earlier}
    versions = {row.trial_id: row.spec_version for row in rows.values() if row.earlier}
    return StoredJob(_renamed(job, rows), _renamed(job, present), versions, left_out)


def _renamed(job: Job, rows: Mapping[str, StoredRow]) -> Job:
    named = (replace(trial, id=rows[trial.id].trial_id) if trial.id in rows else trial for trial in job.trials)
    return replace(job, trials=tuple(named))


def stored_rows(trials: Iterable[Trial], store: Store) -> tuple[dict[str, StoredRow], tuple[str, ...]]:
    """Of each trial that has a row its stored id, by the id that it has today, and the files left out.

    A row is a trial's if its file has the trial's id. Only where there is none, the settings in the other rows are
    compared; of several the one of the latest version counts, and of these the one that was written last. Raises
    StorageError.
    """
    asked = {trial.id for trial in trials}
    there = {key.rpartition("/")[2].removesuffix(".parquet") for key in parquet_keys(store, "trials")}
    rows = {own: StoredRow(own, SPEC_VERSION) for own in asked & there}
    if len(rows) == len(asked) or not there - asked:
        return rows, ()
    others, left_out = _by_settings(store, sorted(there - asked), asked)
    return others | rows, left_out


def _by_settings(
    store: Store, others: list[str], asked: Collection[str]
) -> tuple[dict[str, StoredRow], tuple[str, ...]]:
    read = read_files(store, [f"trials/{other}.parquet" for other in others], schema=declared("trials"))
    found: dict[str, StoredRow] = {}
    rows = [{name: value for name, value in row.items() if value is not None} for row in read.table.to_pylist()]
    rows.sort(key=lambda row: (_version(row.get("spec_version")), row.get("ended_at") or _BEGINNING))
    for row in rows:
        today = current_id(row)
        if today is not None and today in asked:
            found[today] = StoredRow(row["trial_id"], _version(row.get("spec_version")))
    return found, read.left_out


def _version(value: int | None) -> int:
    """A row without a version is of the first ones."""
    return value or 0


def describe_versions(versions: Iterable[int]) -> str:
    """``27 trials of spec version 4``; with several versions, of each."""
    counts = sorted(Counter(versions).items())
    return ", ".join(f"{n} {'trial' if n == 1 else 'trials'} of spec version {version}" for version, n in counts)


def notice_of(versions: Collection[int]) -> list[str]:
    """What a reader of results has to know of rows of these earlier spec versions, if there are any."""
    if not versions:
        return []
    results = describe_versions(versions)
    return [
        f"Results of {results}: the present version is {SPEC_VERSION}, under which the same settings may give others."
    ]
