"""The jobs of a storage: what state each is in, how far it is, and when it last changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestrator import text
from orchestrator.errors import NotFoundError, StorageError, StorageUnavailable
from orchestrator.report.blocks import Cell, Head, Row, Section, Table, Text
from orchestrator.server.listing import PAUSE_S
from orchestrator.state.jobs import UNREADABLE, find_job, order
from orchestrator.state.liveness import Lookout
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from orchestrator.server.pages import Address
    from orchestrator.store.location import Store

MOST_JOBS = 5000
_SHARE = 0.1
_REQUEST_S = 0.1
"""Seconds on S3 for each request, at most ten of which are made a second."""
_RESTING_S = 30.0
"""A job that no run is at work on is looked at so often."""
_STATES = {"done": "finished", "failed": "failed"} | dict.fromkeys(
    ("silent", "ended without a word", "interrupted", "cancelled", "timeout", UNREADABLE), "stopped"
)
"""The looks that states have in common with those of trials."""


@dataclass(frozen=True)
class Standing:
    """A job as its list shows it; ``changed_at`` is in seconds since 1970, None where no run has said."""

    name: str
    state: str
    done: str
    failed: int = 0
    evaluations: str = ""
    changed_at: float | None = None


class Jobs:
    """What the list of jobs follows from, looked at one job after the other: each at work often, the others seldom.

    A look at a folder takes a tenth of a processor at most; on S3 it makes a request for the list, and one for each job
    that is looked at.
    """

    def __init__(self, root: Store) -> None:
        self.root = root.quick()
        self.pause_s = PAUSE_S
        self._found: dict[str, Standing | None] = {}
        self._due: dict[str, float] = {}
        self._lookouts: dict[str, Lookout] = {}

    def look(self) -> tuple[Standing, ...]:
        """The jobs: those at work first, then by the time of their last change. Raises StorageError."""
        began, requests = time.monotonic(), 1
        names = self.root.folders()[:MOST_JOBS]
        for gone in self._found.keys() - set(names):
            for kept in (self._found, self._due, self._lookouts):
                kept.pop(gone, None)
        for name in names:
            if self._due.get(name, 0.0) <= began:
                found = self._found[name] = self._standing(name)
                resting = found is None or found.state != "running"
                self._due[name] = time.monotonic() + (_RESTING_S if resting else 0.0)
                requests += 2
        took_s = time.monotonic() - began
        local = isinstance(self.root, LocalStore)
        self.pause_s = max(PAUSE_S, took_s / _SHARE if local else requests * _REQUEST_S)
        jobs = filter(None, self._found.values())
        return tuple(sorted(jobs, key=lambda job: order(job.state, job.changed_at, job.name)))

    def _standing(self, name: str) -> Standing | None:
        """A job's standing; None for a folder that is none of a job."""
        try:
            found = find_job(self.root.child(name))
            if found is None:
                return None
            run = found.run
            ended = found.rows if run is None or run.state != "running" else 0
        except (NotFoundError, StorageUnavailable):
            raise
        except StorageError as error:
            return Standing(name, UNREADABLE, text.excerpt(str(error)))
        alive = self._lookouts.setdefault(name, Lookout()).is_alive(run, self.pause_s)
        state = found.state(alive=alive)
        if run is None:
            return Standing(name, state, f"{ended} ended" if ended else "")
        done = f"{run.ended} of {run.to_run} ended" if state == "running" else f"{ended} ended"
        return Standing(name, state, done, run.failed, str(run.evaluations or ""), run.updated_at)


def moment(seconds: float | None) -> Markup | str:
    """A moment for a reader, which the page's script turns into how long ago it was."""
    if seconds is None:
        return ""
    when = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        when.isoformat(timespec="seconds"), when.strftime("%Y-%m-%d %H:%M:%S")
    )


def jobs_section(jobs: tuple[Standing, ...], storage: str, address: Address) -> Section:
    """The list of jobs."""
    if not jobs:
        words = f"No jobs in {text.excerpt(storage)} yet; orch submit jobs/quickstart.yaml makes one."
        return Section("jobs", "Jobs", "Jobs", (Text(words, "missing"),))
    rows = tuple(
        Row(
            (
                Cell(Markup('<a href="{}">{}</a>').format(address.job(job.name), job.name)),
                Cell(job.state, look=f"status {_STATES.get(job.state, '')}".strip()),
                Cell(job.done),
                Cell(str(job.failed or ""), job.failed, look="num"),
                Cell(job.evaluations),
                Cell(moment(job.changed_at), None if job.changed_at is None else -job.changed_at),
            )
        )
        for job in jobs
    )
    heads = ("job", "state", "trials", "failed", "evaluations", "last change")
    table = Table("Jobs", tuple(Head(head, head == "failed") for head in heads), rows, sortable=True, most=MOST_JOBS)
    return Section("jobs", "Jobs", "Jobs", (table,))
