"""Writes how a sweep is getting on into storage, so that anybody who can read it can follow."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from orchestrator.errors import StorageUnavailable
from orchestrator.plan.files import RunState, write_state
from orchestrator.plan.ledger import Status

if TYPE_CHECKING:
    from orchestrator.runtime.events import Event
    from orchestrator.store.location import Store

_EVERY_S = 5.0


class Heartbeat:
    """A watcher that keeps ``run.json`` fresh; a context whose end writes the last state."""

    def __init__(self, store: Store, to_run: int) -> None:
        now = time.time()
        self.store = store
        self.state = RunState("running", now, now, to_run)

    def __enter__(self) -> Heartbeat:
        write_state(self.store, self.state)
        return self

    def __exit__(self, *_: object) -> None:
        done = self.state.ended >= self.state.to_run
        self.state.state, self.state.running = ("done" if done else "interrupted"), {}
        self.state.updated_at = time.time()
        write_state(self.store, self.state)

    def update(self, event: Event) -> None:
        """Note where the trial stands."""
        if event.ended is None:
            self.state.running[event.trial.id] = (event.step, event.total_steps)
            return
        self.state.running.pop(event.trial.id, None)
        self.state.ended += 1
        self.state.failed += event.ended is Status.FAILED

    def tick(self) -> None:
        """Write every few seconds. A write that fails is made up by the next: the trials do not depend on it."""
        if time.time() - self.state.updated_at >= _EVERY_S:
            self.state.updated_at = time.time()
            with contextlib.suppress(StorageUnavailable):
                write_state(self.store, self.state)
