"""Lists of a job's files, read once for all who watch it, and as often as that is cheap."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError
from orchestrator.state.files import has_job, read_state
from orchestrator.state.liveness import Lookout
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.state.files import RunState
    from orchestrator.store.location import Store

PAUSE_S = 0.25
"""Seconds between two looks into a folder, where a look takes less than a tenth of that."""
_SHARE = 0.1
"""The most of a processor that looking takes."""
_REQUEST_S = 0.5
"""Seconds on S3 for each request of a look: so many make no bill that anyone notices."""
_PER_LIST = 1000
FOLDERS = ("trials", "metrics", "evaluations")


@dataclass(frozen=True)
class Look:
    """What a job's storage had at some moment: the stamps of its tables, and the state of its last run.

    ``alive`` says whether that run is at work, as far as it can be known without waiting.
    """

    stamps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    run: RunState | None = None
    alive: bool = False

    @property
    def submission(self) -> float:
        """When the last run started, which may have brought another job file; 0 without any."""
        return self.run.started_at if self.run else 0.0


class Listing:
    """Looks into a job's storage: those who ask at the same time, or soon after, get the same answer.

    Safe to use from several threads. On S3 a look is one list for each thousand files of ``trials/``, ``metrics/`` and
    ``evaluations/``, and one read of ``run.json``.
    """

    def __init__(self, store: Store) -> None:
        self.store = store.quick()
        self.pause_s = PAUSE_S
        self._last: Look | None = None
        self._looked_at = float("-inf")
        self._lookout = Lookout()
        self._lock = threading.Lock()

    def look(self) -> Look:
        """The last look, or a new one where that is too old. Raises StorageError."""
        with self._lock:
            if self._last is None or time.monotonic() - self._looked_at >= 0.9 * self.pause_s:
                began = time.monotonic()
                self._last = self._look()
                self._looked_at = time.monotonic()
                self.pause_s = self._pause(self._last, self._looked_at - began)
            return self._last

    def _look(self) -> Look:
        run = read_state(self.store)
        stamps = {folder: self.store.stamps(folder) for folder in FOLDERS}
        if run is None and not any(stamps.values()) and not has_job(self.store):
            raise NotFoundError(f"{self.store.uri}: no such job, or it was deleted")
        return Look(stamps, run, self._lookout.is_alive(run, self.pause_s))

    def _pause(self, look: Look, took_s: float) -> float:
        if isinstance(self.store, LocalStore):
            return max(PAUSE_S, took_s / _SHARE)
        requests = 1 + sum(1 + len(stamps) // _PER_LIST for stamps in look.stamps.values())
        return max(PAUSE_S, requests * _REQUEST_S)
