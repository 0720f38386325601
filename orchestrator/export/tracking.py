"""Writes a study to an experiment tracker, once or again and again while its run is at work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError, StorageUnavailable
from orchestrator.export.records import records
from orchestrator.state.files import read_state
from orchestrator.state.liveness import Lookout
from orchestrator.study import RUNNING, load_study

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.export.records import Record
    from orchestrator.export.trackers import Tracker
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

EVERY_S = 10.0
"""Rows reach storage as often."""
_FOLDERS = ("trials", "metrics", "evaluations", "samples")


class Export:
    """The way of a study's results into a tracker; each pass writes what is new since the last one."""

    def __init__(self, store: Store, tracker: Tracker, job: Job | None = None) -> None:
        self._store, self._tracker, self._job = store, tracker, job
        self._stamps: dict[str, dict[str, str]] = {}
        self._written: dict[str, Record] = {}

    def once(self) -> tuple[int, int]:
        """Write what the tracker lacks; how many trials there are, and how many of them it lacked anything of.

        Raises NotFoundError where there are no results yet, StorageError, ExportError.
        """
        stamps = {folder: self._store.stamps(folder) for folder in _FOLDERS}
        if stamps == self._stamps:
            return len(self._written), 0
        study, changed = load_study(self._store, self._job, unfinished=RUNNING), 0
        try:
            for record in records(study):
                if self._written.get(record.trial_id) != record:
                    changed += self._tracker.add(record, self._store)
                    self._written[record.trial_id] = record
        finally:
            self._tracker.settle()
        self._stamps = stamps
        return len(self._written), changed

    def follow(self, notify: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> int:
        """Write what is new every EVERY_S until no run of the job is at work; the number of trials then.

        ``notify`` is told in words what was written, and of storage that cannot be used for now. Raises as ``once``,
        where the run has ended.
        """
        lookout = Lookout()
        while True:
            # asked before the results are read: so the last pass sees all that the run has left
            alive = lookout.is_alive(read_state(self._store), EVERY_S)
            try:
                trials, changed = self.once()
                if changed:
                    notify(f"{changed} of {trials} trials have something new")
            except (NotFoundError, StorageUnavailable) as error:
                if not alive:
                    raise
                if isinstance(error, StorageUnavailable):
                    notify(f"{error}; tried again in {EVERY_S:g} s")
            if not alive:
                return len(self._written)
            pause(EVERY_S)
