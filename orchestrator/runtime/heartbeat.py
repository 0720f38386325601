"""Writes how a sweep is getting on into storage, and reads from there whether it is to stop."""

from __future__ import annotations

import copy
import signal
import threading
import time
from typing import TYPE_CHECKING

from orchestrator.errors import StorageError
from orchestrator.plan.files import Nodes, RunState, asked_to_cancel, forget_cancel, write_state
from orchestrator.plan.ledger import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.plan.files import Tally
    from orchestrator.plan.log import RunLog
    from orchestrator.runtime.events import Event
    from orchestrator.store.location import Store

_EVERY_S = 5.0


class Heartbeat:
    """A watcher that keeps ``run.json`` and ``run.log`` fresh, for as long as its context is open.

    A thread of its own does it: storage that is slow or down for a while holds up no trial. Who has left word that
    the run is to stop, with ``orch cancel``, is obeyed as Ctrl-C is: every trial keeps its last state.
    """

    def __init__(self, store: Store, log: RunLog, to_run: int, to_evaluate: Tally | None = None) -> None:
        now = time.time()
        self.store, self.log = store, log
        self.state = RunState("running", now, now, to_run, evaluations=to_evaluate)
        self.cancelled = False
        self._count_nodes: Callable[[], Nodes | None] = lambda: None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def on_cluster(self, address: str, submission_id: str | None, count_nodes: Callable[[], Nodes | None]) -> None:
        """Tell where the run is, if not on this machine alone, and how many nodes there are each time it is counted."""
        self.state.address, self.state.submission_id = address, submission_id
        self._count_nodes = count_nodes

    @property
    def how_stopped(self) -> str:
        """The word for a run that did not come to its end."""
        return "cancelled" if self.cancelled else "interrupted"

    def __enter__(self) -> Heartbeat:
        forget_cancel(self.store)
        write_state(self.store, self.state)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        evaluations = self.state.evaluations
        done = self.state.ended >= self.state.to_run and (evaluations is None or evaluations.over)
        self.state.state = "done" if done else self.how_stopped
        self.state.running, self.state.updated_at = {}, time.time()
        write_state(self.store, self.state)
        if self.cancelled:
            forget_cancel(self.store)

    def update(self, event: Event) -> None:
        """Note where the trial stands."""
        with self._lock:
            if event.ended is None:
                self.state.running[event.trial.id] = (event.step, event.total_steps)
                return
            self.state.running.pop(event.trial.id, None)
            self.state.ended += 1
            self.state.failed += event.ended is Status.FAILED

    def evaluated(self, tally: Tally) -> None:
        """Note where the evaluations stand."""
        with self._lock:
            self.state.evaluations = tally

    def tick(self) -> None:
        """The thread has a clock of its own."""

    def _beat(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while not self._over.wait(_EVERY_S):
            self.state.nodes = self._count_nodes() or self.state.nodes
            self.state.updated_at = time.time()
            with self._lock:
                state = copy.deepcopy(self.state)
            try:
                write_state(self.store, state)
                self.log.write()
                if not self.cancelled and asked_to_cancel(self.store, self.state):
                    self.cancelled = True
                    signal.pthread_kill(main, signal.SIGTERM)  # which is never ignored
            except StorageError as error:  # made up for by the next beat: no trial depends on it
                self.log.say(f"note: {error}")
