"""Writes how a run is getting on into storage, and reads from there whether it is to stop."""

from __future__ import annotations

import contextlib
import copy
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
"""How long the last state of a run is tried to be stored."""
_AGAIN_S = 1.0
_BACK_S = 30.0
"""How long storage may be gone from its place before the run ends."""


class Heartbeat:
    """A watcher that keeps ``run.json`` and ``run.log`` fresh, and gives the lease back when its context ends.

    A thread of its own does it, with requests that do not wait: storage that is slow or down for a while holds up
    neither a trial nor the end of the run. A beat that was missed is made up for by the next one. Who has left word
    that the run is to stop, with ``orch cancel``, is obeyed as Ctrl-C is: every trial keeps its last state. A run whose
    lease another has taken stops in the same way, but stores nothing more.
    """

    def __init__(
        self,
        lease: Lease,
        store: RetryingStore,
        log: RunLog,
        say: Callable[[str], None],
        to_run: int,
        to_evaluate: EvaluationProgress | None = None,
    ) -> None:
        """``log`` must write through a store that does not wait; ``say`` hears what goes wrong."""
        now, holder = time.time(), lease.holder
        self.lease, self.store, self.quick, self.log, self.say = lease.quick(), store, store.quick(), log, say
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
        self.cancelled = self.failed = False
        self.lost: LeaseLostError | None = None
        self._unstored = ""
        self._moved_at: float | None = None
        self._count_nodes: Callable[[], Nodes | None] = lambda: None
        self._look: Callable[[], None] = lambda: None
        self._obeys, self._obeying = False, threading.Lock()
        self._problems: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def on_cluster(self, count_nodes: Callable[[], Nodes | None]) -> None:
        """Note how many nodes there are with each beat."""
        self._count_nodes = count_nodes

    def on_beat(self, look: Callable[[], None]) -> None:
        """Call this with each beat, whether storage answers or not."""
        self._look = look

    @property
    def how_stopped(self) -> str:
        """The word for a run that did not come to its end."""
        return "failed" if self.failed else "cancelled" if self.cancelled else "interrupted"

    def __enter__(self) -> Heartbeat:
        try:
            forget_cancel(self.store)
            write_state(self.store, self.state)
        except BaseException:
            self._insist(self.lease.release, _LAST_S)
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_LAST_S)
        self._end()
        # Storage that did not take the state a moment ago is asked once more, and not waited for again.
        if self.lost is None and (problem := self._insist(self._leave, 0.0 if self._unstored else _LAST_S)):
            self.say(f"note: the run's last state could not be stored: {problem}")

    @contextlib.contextmanager
    def obeyed(self) -> Iterator[None]:
        """Interrupt the main thread where the run is to stop; it must take SIGTERM for Ctrl-C by now."""
        with self._obeying:
            self._obeys = True
            late = self.cancelled or self.lost is not None
        try:
            if late:
                raise KeyboardInterrupt
            yield
        finally:
            with self._obeying:
                self._obeys = False

    def finish(self) -> str:
        """Store how the work ended, while the context stays open for the report; why that failed, or nothing.

        Raises LeaseLostError where another run has taken this one's place.
        """
        self._end()
        if self.lost is None:
            self._unstored = self._insist(self._write, _LAST_S)
        if self.lost is not None:
            raise self.lost
        return self._unstored

    def fall(self) -> None:
        """Store that the run has failed and give the lease back: its process is to end at once, from any thread."""
        self.failed = True
        self._over.set()
        self._end()
        self._insist(self._write, _AGAIN_S)
        self._thread.join(_LAST_S)  # lest a beat write an older state over this one
        self._insist(self._leave, _AGAIN_S)

    def update(self, event: Event) -> None:
        """Note where the trial stands."""
        with self._lock:
            if event.ended is None:
                self.state.running[event.trial.id] = (event.step, event.total_steps)
                return
            self.state.running.pop(event.trial.id, None)
            self.state.ended += 1
            self.state.failed += event.ended is Status.FAILED

    def evaluated(self, tally: EvaluationProgress) -> None:
        """Note where the evaluations stand."""
        with self._lock:
            self.state.evaluations = tally

    def tick(self) -> None:
        """The thread has a clock of its own."""

    def _end(self) -> None:
        """Note how the work ended, unless that is known."""
        with self._lock:
            if self.state.state != "running":
                return
            evaluations = self.state.evaluations
            done = self.state.ended >= self.state.to_run and (evaluations is None or evaluations.over)
            self.state.state = "done" if done else self.how_stopped
            self.state.running = {}

    def _beat(self) -> None:
        while not self._over.wait(_EVERY_S):
            before, self._problems = self._problems, set()
            self._attempt(self._look, before)
            for step in (self._verify, self._listen, self._count, self._write, self.log.write):
                if self._over.is_set() or self.lost is not None or not self._attempt(step, before):
                    break

    def _verify(self) -> None:
        """Look whether the run still has its lease. Storage that was moved away is given a while to come back."""
        try:
            self.lease.verify()
        except StorageMovedError as error:
            now = time.monotonic()
            self._moved_at = now if self._moved_at is None else self._moved_at
            if now < self._moved_at + _BACK_S:
                raise
            raise LeaseLostError(f"{error}, then go on with orch resume; this run has stopped") from error
        self._moved_at = None

    def _attempt(self, step: Callable[[], None], before: set[str]) -> bool:
        """Make a step of a beat; whether the others are worth trying. Nobody hears what a thread raises, so it is said.

        What the beat before said already is not said again.
        """
        try:
            step()
        except LeaseLostError as error:
            self.lost = error
            self._interrupt()
        except Exception as error:
            line = f"note: {error}" if str(error) else f"note: {type(error).__name__}"
            self._problems.add(line)
            if line not in before:
                self.say(line)
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

    def _listen(self) -> None:
        if not self.cancelled and asked_to_cancel(self.quick, self.state):
            self.cancelled = True
            self._interrupt()

    def _interrupt(self) -> None:
        self.store.hurry()
        main = threading.main_thread().ident
        assert main is not None
        with self._obeying:
            if self._obeys:
                signal.pthread_kill(main, signal.SIGTERM)  # which is never ignored

    def _leave(self) -> None:
        self._write()
        if self.cancelled:
            forget_cancel(self.quick)
        self.lease.release()
        self.log.write()  # where storage did not take its end

    def _insist(self, act: Callable[[], None], patience_s: float) -> str:
        """Try for so long; why that failed, or nothing. A lease that was lost leaves nothing to do."""
        give_up = time.monotonic() + patience_s
        while True:
            try:
                act()
                return ""
            except LeaseLostError as error:
                self.lost = error
                return str(error)
            except StorageError as error:
                if not isinstance(error, StorageUnavailable) or time.monotonic() + _AGAIN_S > give_up:
                    return str(error)
            time.sleep(_AGAIN_S)
