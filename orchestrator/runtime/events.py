"""Translates Tune's callbacks into events for watchers, and writes the rows that no worker can write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ray import tune
from ray.util import get_node_ip_address

from orchestrator.errors import OrchError, SurroundingsError
from orchestrator.plan.retry import classify
from orchestrator.runtime.deaths import cause_of, inner, last_error
from orchestrator.runtime.trainer import measured
from orchestrator.state.ledger import FailureKind, Status, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.runtime.trainer import SweepContext
    from orchestrator.spec.job import Trial
    from orchestrator.state.files import EvaluationProgress


@dataclass(frozen=True)
class Event:
    """The progress of a trial; ``ended`` is None while it runs, ``measures`` are columns of trials/."""

    trial: Trial
    step: int
    total_steps: int
    measures: Mapping[str, Any]
    ended: Status | None = None
    error: str | None = None


class Watcher(Protocol):
    """Follows a sweep, such as a display or the file with the state of the run."""

    def update(self, event: Event) -> None:
        """Called when a trial starts, makes progress, ends or is tried again."""

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Called when evaluations end, or will not be made."""

    def tick(self) -> None:
        """Called about every second, whether or not anything has changed."""


class SweepStoppedError(Exception):
    """Ends Tune's run, which then has every trial store its state; Tune would not do so for KeyboardInterrupt."""


class Reporter(tune.Callback):  # type: ignore[misc]
    """Tune's callback on the driver, which follows every trial.

    Workers write the rows of trials that finish or fail in them. The driver writes the rows of trials that the
    scheduler stopped and of trials whose worker was lost once too often. A trial that the disk, storage or the system
    stops has no row, and ends the sweep: the others would fail the same way.
    """

    def __init__(
        self,
        context: SweepContext,
        watchers: Sequence[Watcher],
        check: Callable[[], None] = lambda: None,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        """``check`` raises KeyboardInterrupt where the sweep is to stop; ``notify`` reports retried trials."""
        self.context, self.watchers, self.check, self.notify = context, watchers, check, notify
        self.ended = self.failed = 0
        self.error: OrchError | None = None
        """Why the sweep could not go on; Tune would wrap it in a traceback of its own."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune stores its callbacks in files that are never read, and watchers cannot be pickled."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Call every watcher's ``tick``. Raises SweepStoppedError."""
        try:
            for watcher in self.watchers:
                watcher.tick()
            self.check()
        except KeyboardInterrupt:
            raise SweepStoppedError from None
        except OrchError as error:
            self.error = self.error or error
        if self.error is not None:
            raise SweepStoppedError

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Report that a worker has started the trial."""
        self._publish(Event(self._trial(trial), 0, self._trial(trial).settings.total_steps, {}))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Report the progress of a trial."""
        if "step" in result:
            self._publish(Event(self._trial(trial), result["step"], result["total_steps"], result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Report a trial that ended by itself or was stopped by the scheduler; write the row of a stopped one."""
        result = trial.last_result
        status = Status(result.get("ended") or Status.STOPPED)
        if status is Status.STOPPED:
            self._record(trial, status, measured(result))
        self._end(trial, status, result.get("error"))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Report that a trial's worker was lost, and that the trial is tried again."""
        cause = self._cause(trial)
        if self.error is None:
            self.notify(f"{self._trial(trial).id[:8]} goes on from its last checkpoint: {cause}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial whose worker was lost, and whose retries are used up."""
        error = f"given up after {trial.num_failures} failures: {self._cause(trial)}"
        if self.error is not None:
            return
        self._record(trial, Status.FAILED, {"error": error, "error_kind": str(FailureKind.INFRASTRUCTURE)})
        self._end(trial, Status.FAILED, error)

    def _cause(self, trial: Any) -> str:
        """Why the trial has just failed; sets ``error``, which ends the sweep, where every trial would fail so."""
        error = last_error(trial)
        if error is None:
            return "no cause was reported"
        if classify(inner(error)) is FailureKind.SURROUNDINGS:
            node = (trial.last_result or {}).get("node_ip")  # the node of its last report
            where = f"node {node}: " if node not in (None, get_node_ip_address()) else ""
            self.error = self.error or SurroundingsError(where + cause_of(error))
        return cause_of(error)

    def _record(self, trial: Any, status: Status, measured: Mapping[str, object]) -> None:
        try:
            job_trial = self._trial(trial)
            record(
                self.context.store, self.context.job, job_trial, status, measured, self.context.provenance_of(job_trial)
            )
        except OrchError as error:
            self.error = error
            raise

    def _end(self, trial: Any, status: Status, error: str | None) -> None:
        self.ended += 1
        self.failed += status is Status.FAILED
        result = trial.last_result or {}
        total = self._trial(trial).settings.total_steps
        self._publish(Event(self._trial(trial), result.get("step", 0), total, result, status, error))

    def _trial(self, trial: Any) -> Trial:
        return self.context.trials[trial.config["trial_id"]]

    def _publish(self, event: Event) -> None:
        for watcher in self.watchers:
            watcher.update(event)
