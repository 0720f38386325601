"""Writes a run's progress into storage, and reads from there whether the run is to stop."""

from __future__ import annotations

import contextlib
import copy
import math
import signal
import threading
import time
from typing import TYPE_CHECKING

from orchestrator.errors import LeaseLostError, StorageError, StorageMovedError, StorageUnavailable
from orchestrator.state.files import BEAT_S, Nodes, RunState, asked_to_cancel, forget_cancel, write_state
from orchestrator.state.ledger import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.runtime.events import Event
    from orchestrator.state.files import EvaluationProgress
    from orchestrator.state.lease import Lease
    from orchestrator.state.log import RunLog
    from orchestrator.store.retrying import RetryingStore

_EVERY_S = BEAT_S
_LAST_S = 6.0
"""How long storing the last state of a run is retried."""
_RETRY_S = 1.0
_MOVED_S = 30.0
"""How long a storage folder may be missing before the run ends."""


class Heartbeat:
    """A watcher that keeps ``run.json`` and ``run.log`` fresh, and releases the lease when its context ends.

    It uses a thread of its own and requests that do not wait: storage that is slow or down for a while delays neither
    a trial nor the end of the run. The next beat makes up for one that was missed. A request to stop from
    ``orch cancel``, and the end of the hours that a run may take, act as Ctrl-C does: every trial keeps its last state.
    A run whose lease another run has taken
    stops in the same way, but stores nothing more.
    """

    def __init__(
        self,
        lease: Lease,
        store: RetryingStore,
        log: RunLog,
        notify: Callable[[str], None],
        to_run: int,
        to_evaluate: EvaluationProgress | None = None,
    ) -> None:
        """``log`` must write through a store that does not wait; ``notify`` reports what goes wrong."""
        now, holder = time.time(), lease.holder
        self.lease, self.store, self.quick, self.log, self.notify = lease.quick(), store, store.quick(), log, notify
        self.state = RunState(
            "running",
            now,
            now,
            to_run,
            address=holder.address,
            submission_id=holder.submission_id,
            evaluations=to_evaluate,
            run_id=holder.run_id,
            process=holder.process,
        )
        self.cancelled = self.failed = self.timed_out = False
        self._deadline = math.inf
        self.lost: LeaseLostError | None = None
        self._unstored = ""
        self._moved_at: float | None = None
        self._count_nodes: Callable[[], Nodes | None] = lambda: None
        self._on_beat: Callable[[], None] = lambda: None
        self._on_end: Callable[[RunState], None] = lambda state: None
        self._interruptible, self._interruptible_lock = False, threading.Lock()
        self._problems: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def on_cluster(self, count_nodes: Callable[[], Nodes | None]) -> None:
        """Store the cluster's number of nodes with each beat."""
        self._count_nodes = count_nodes

    def end_after(self, hours: float) -> None:
        """Interrupt the run as ``orch cancel`` does so many hours after now, whether storage answers or not."""
        self._deadline = time.monotonic() + hours * 3600

    def on_beat(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` with each beat, whether storage answers or not."""
        self._on_beat = callback

    def on_end(self, callback: Callable[[RunState], None]) -> None:
        """Call ``callback`` with the last state once that is stored, or could not be."""
        self._on_end = callback

    @property
    def how_stopped(self) -> str:
        """The state of a run that did not come to its end."""
        if self.failed:
            return "failed"
        return "cancelled" if self.cancelled else "timeout" if self.timed_out else "interrupted"

    def __enter__(self) -> Heartbeat:
        try:
            forget_cancel(self.store)
            write_state(self.store, self.state)
        except BaseException:
            self._retry(self.lease.release, _LAST_S)
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_LAST_S)
        self._end()
        # Storage that did not take the state a moment ago gets one more request, without waiting.
        if self.lost is None and (problem := self._retry(self._release, 0.0 if self._unstored else _LAST_S)):
            self.notify(f"note: the run's last state could not be stored: {problem}")
        self._on_end(self.state)

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """In this context, interrupt the main thread by SIGTERM, which must act as Ctrl-C, when the run is to stop."""
        with self._interruptible_lock:
            self._interruptible = True
            late = self.cancelled or self.timed_out or self.lost is not None
        try:
            if late:
                raise KeyboardInterrupt
            yield
        finally:
            with self._interruptible_lock:
                self._interruptible = False

    def finish(self) -> str:
        """Store how the work ended, while the context stays open for the report.

        Returns why that failed, empty where it did not. Raises LeaseLostError where another run has taken the lease.
        """
        self._end()
        if self.lost is None:
            self._unstored = self._retry(self._write, _LAST_S)
        if self.lost is not None:
            raise self.lost
        return self._unstored

    def abort(self) -> None:
        """Store that the run has failed and release the lease, from any thread: the process is about to end."""
        self.failed = True
        self._over.set()
        self._end()
        self._retry(self._write, _RETRY_S)
        self._thread.join(_LAST_S)  # lest a beat write an older state over this one
        self._retry(self._release, _RETRY_S)
        self._on_end(self.state)

    def update(self, event: Event) -> None:
        """Store the trial's progress with the next beat."""
        with self._lock:
            if event.ended is None:
                self.state.running[event.trial.id] = (event.step, event.total_steps)
                return
            self.state.running.pop(event.trial.id, None)
            self.state.ended += 1
            self.state.failed += event.ended is Status.FAILED

    def all_ended(self) -> None:
        """No further trial is to run: a search may have ended before its cap."""
        with self._lock:
            self.state.to_run = self.state.ended

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Store the evaluations' progress with the next beat."""
        with self._lock:
            self.state.evaluations = progress

    def tick(self) -> None:
        """Do nothing: the thread keeps its own time."""

    def _end(self) -> None:
        """Set the state in which the work ended, unless it is set."""
        with self._lock:
            if self.state.state != "running":
                return
            evaluations = self.state.evaluations
            done = self.state.ended >= self.state.to_run and (evaluations is None or evaluations.over)
            self.state.state = "done" if done else self.how_stopped
            self.state.running = {}

    def _beat(self) -> None:
        while not self._over.wait(_EVERY_S):
            reported, self._problems = self._problems, set()
            self._attempt(self._on_beat, reported)
            self._check_time()
            for step in (self._verify, self._check_cancel, self._count, self._write, self.log.write):
                if self._over.is_set() or self.lost is not None or not self._attempt(step, reported):
                    break

    def _verify(self) -> None:
        """Check that the run still has its lease. A storage folder that was moved away may return for a while."""
        try:
            self.lease.verify()
        except StorageMovedError as error:
            now = time.monotonic()
            self._moved_at = now if self._moved_at is None else self._moved_at
            if now < self._moved_at + _MOVED_S:
                raise
            raise LeaseLostError(f"{error}, then go on with orch resume; this run has stopped") from error
        self._moved_at = None

    def _attempt(self, step: Callable[[], None], reported: set[str]) -> bool:
        """Run a step of a beat; returns whether the others are worth trying.

        An error is reported, since exceptions of a thread reach nobody; not again where the beat before reported it.
        """
        try:
            step()
        except LeaseLostError as error:
            self.lost = error
            self._interrupt()
        except Exception as error:
            line = f"note: {error}" if str(error) else f"note: {type(error).__name__}"
            self._problems.add(line)
            if line not in reported:
                self.notify(line)
            return not isinstance(error, StorageUnavailable)
        return True

    def _count(self) -> None:
        self.state.nodes = self._count_nodes() or self.state.nodes

    def _write(self) -> None:
        with self._lock:
            self.state.beat += 1
            self.state.updated_at = time.time()
            state = copy.deepcopy(self.state)
        write_state(self.quick, state)
        self._unstored = ""

    def _check_time(self) -> None:
        if not self.timed_out and time.monotonic() >= self._deadline:
            self.timed_out = True
            self.notify("the hours of resources.max_hours have passed: the run ends")
            self._interrupt()

    def _check_cancel(self) -> None:
        if not self.cancelled and asked_to_cancel(self.quick, self.state):
            self.cancelled = True
            self._interrupt()

    def _interrupt(self) -> None:
        self.store.hurry()
        main = threading.main_thread().ident
        assert main is not None
        with self._interruptible_lock:
            if self._interruptible:
                signal.pthread_kill(main, signal.SIGTERM)  # which is never ignored

    def _release(self) -> None:
        self._write()
        if self.cancelled:
            forget_cancel(self.quick)
        self.lease.release()
        self.log.write()  # in case storage did not take the log's end

    def _retry(self, request: Callable[[], None], patience_s: float) -> str:
        """Retry a request for ``patience_s``; returns why it failed, empty where it did not. A lost lease ends it."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                request()
                return ""
            except LeaseLostError as error:
                self.lost = error
                return str(error)
            except StorageError as error:
                if not isinstance(error, StorageUnavailable) or time.monotonic() + _RETRY_S > deadline:
                    return str(error)
            time.sleep(_RETRY_S)
