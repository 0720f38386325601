"""The jobs of a storage: what state each is in, how far it is, when it last changed, and what it takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError, OrchError, StorageError, StorageUnavailable
from orchestrator.spec.job import is_name
from orchestrator.state.copies import unfinished_copy
from orchestrator.state.files import has_job, read_job, read_state
from orchestrator.state.handovers import read_handover
from orchestrator.state.liveness import are_alive
from orchestrator.state.stored import stored_rows
from orchestrator.store.snapshot import Snapshot
from orchestrator.store.tables import parquet_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.state.files import RunState
    from orchestrator.store.location import Store

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Found:
    """A folder of a job, and the state of its last run."""

    store: Store
    run: RunState | None

    @cached_property
    def rows(self) -> int:
        """The number of trials that have ended. Raises StorageError."""
        return len(parquet_keys(self.store, "trials"))

    def state(self, *, alive: bool) -> str:
        """The state of the last run; one that says that it runs may be dead, or silent on another machine."""
        run = self.run
        if run is None:
            return "no run known"
        if run.state != "running" or alive:
            return run.state
        return "ended without a word" if run.process is not None and run.process.here else "silent"


def find_job(store: Store) -> Found | None:
    """What lies in a folder; None where that is no job. Raises StorageError where it cannot be read."""
    found = Found(store, read_state(store))
    return found if found.run is not None or has_job(store) or found.rows or unfinished_copy(store) else None


def order(state: str, changed_at: float | None, name: str) -> tuple[bool, float, str]:
    """The place of a job in a list: those at work first, then by the time of their last change."""
    return state != "running", -(changed_at or 0.0), name


@dataclass(frozen=True)
class Summary:
    """A job in a list.

    ``ended`` are the trials of the job that have ended, of ``trials``; None, and then ``ended`` are all rows, where the
    job file cannot be read. ``failed`` are those of the last run, ``changed_at`` is when that wrote last, in seconds
    since 1970, ``size`` the bytes of all its files. ``problem`` is what could not be read.
    """

    name: str
    state: str
    ended: int = 0
    trials: int | None = None
    failed: int = 0
    changed_at: float | None = None
    size: int = 0
    tags: tuple[str, ...] = ()
    note: str = ""
    problem: str = ""


def summaries(root: Store, tags: Iterable[str] = ()) -> list[Summary]:
    """The jobs of a storage that have all of the ``tags``, those at work first, then by their last change.

    A job that cannot be read is one with a ``problem``; folders that hold no job are passed over. Takes up to
    ``liveness.LISTEN_S`` where a run elsewhere says that it is at work. Raises StorageError where storage itself cannot
    be read.
    """
    names = [name for name in root.folders() if is_name(name)]
    with ThreadPoolExecutor(root.parallel_reads) as pool:
        found = dict(zip(names, pool.map(lambda name: _find(root.child(name)), names), strict=True))
        jobs = {name: one for name, one in found.items() if isinstance(one, Found)}
        alive = dict(zip(jobs, are_alive([(one.store, one.run) for one in jobs.values()]), strict=True))
        read = list(pool.map(lambda name: _summary(name, jobs[name], alive=alive[name]), jobs))
    read += [Summary(name, UNREADABLE, problem=one) for name, one in found.items() if isinstance(one, str)]
    wanted = set(tags)
    chosen = (one for one in read if wanted <= set(one.tags))
    return sorted(chosen, key=lambda one: order(one.state, one.changed_at, one.name))


def _find(store: Store) -> Found | str | None:
    """What lies in a folder, or why that cannot be read."""
    try:
        return find_job(store)
    except (NotFoundError, StorageUnavailable):
        raise
    except StorageError as error:
        return str(error)


def _summary(name: str, found: Found, *, alive: bool) -> Summary:
    store, run = Snapshot(found.store), found.run
    summary = Summary(name, UNREADABLE)
    try:
        if run is not None:
            summary = replace(summary, failed=run.failed, changed_at=run.updated_at)
        size = sum(found.store.sizes().values())
        summary = replace(summary, state=_state(found, alive=alive), ended=found.rows, size=size)
        job = read_job(store)
        ended = len(stored_rows(job.trials, store)[0])
    except StorageUnavailable:
        raise
    except OrchError as error:
        return replace(summary, problem=str(error))
    header = job.header
    return replace(summary, ended=ended, trials=len(job.trials), tags=header.tags, note=header.note)


def _state(found: Found, *, alive: bool) -> str:
    """The state of the last run or, before one has begun, of the hand-over to a cluster, or of a copy."""
    if unfinished_copy(found.store) is not None:
        return "unfinished copy"
    handover = None if alive else read_handover(found.store)
    if handover is None:
        return found.state(alive=alive)
    return "hand-over failed" if handover.error else "handed over"
