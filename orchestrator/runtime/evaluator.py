"""Starts the evaluations of a run: those of each trial as soon as it ends, as many tasks at once as devices allow."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import ray

from orchestrator.errors import SurroundingsError
from orchestrator.plan.plan import CellState
from orchestrator.plan.retry import classify
from orchestrator.runtime.deaths import cause_of, inner
from orchestrator.runtime.evaluation import EvaluationInputs, Problem, evaluate_task
from orchestrator.state.files import EvaluationProgress
from orchestrator.state.ledger import FailureKind, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.events import Event, Watcher
    from orchestrator.state.due import Due

_POLL_S = 1.0


class Evaluator:
    """A watcher of a sweep that starts the evaluations of each trial as it ends.

    Its tasks wait in Ray for devices, as trials do. Only a few wait at a time. So on a machine whose warm workers hold
    all processors they start as soon as the last trials free some, and a trial waits for a few tasks at most.
    """

    def __init__(
        self, plan: Plan, inputs: EvaluationInputs, watchers: Sequence[Watcher], notify: Callable[[str], None]
    ) -> None:
        self.watchers, self.notify = watchers, notify
        self._inputs = [ray.put(inputs)]
        placement = inputs.placement
        slots = placement.concurrent * placement.workers
        self._max_running = 2 * slots
        # With one task per evaluation a process loads generator and images once; few evaluations are split instead,
        # so that all devices are used.
        self._tasks_each = math.ceil(slots / max(1, len(plan.due)))
        self._task = evaluate_task.options(
            num_cpus=placement.cpus,
            num_gpus=placement.gpus,
            max_retries=plan.job.header.resources.max_retries,
            retry_exceptions=True,
            scheduling_strategy="SPREAD",
        )
        new = {cell.trial.id for cell in plan.having(CellState.NEW)}
        self._after_training: dict[str, list[Due]] = {}
        self._waiting: deque[tuple[Due, Sequence[int]]] = deque()
        self._running: dict[ray.ObjectRef, tuple[Due, Sequence[int]]] = {}
        self._unfinished: dict[tuple[str, str], int] = {}
        """Number of each evaluation's tasks that have not ended."""
        self._failed: set[tuple[str, str]] = set()
        self.progress = EvaluationProgress(len(plan.due), parts=sum(len(due.missing) for due in plan.due))
        for due in plan.due:
            if due.trial.id in new:
                self._after_training.setdefault(due.trial.id, []).append(due)
            else:
                self._queue(due)

    def update(self, event: Event) -> None:
        """Queue the evaluations of a trial that has ended; drop those of one that failed or was stopped."""
        if event.ended is None:
            return
        for due in self._after_training.pop(event.trial.id, []):
            if event.ended in (Status.FAILED, Status.STOPPED):
                self._count(total=-1, parts=-len(due.missing))
            else:
                self._queue(due)

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Do nothing: the evaluator itself reports this progress to the other watchers."""

    def tick(self) -> None:
        """Collect tasks that have ended, and start others. Raises SurroundingsError where every one would fail."""
        self._poll(0.0)

    def drain(self, check: Callable[[], None]) -> None:
        """Wait until all queued evaluations have ended; ``check`` is called every second, and may raise."""
        while self._waiting or self._running:
            check()
            self._poll(_POLL_S)
            for watcher in self.watchers:
                watcher.tick()

    def _queue(self, due: Due) -> None:
        number = min(self._tasks_each, len(due.missing))
        self._unfinished[_name(due)] = number
        self._waiting.extend((due, due.missing[first::number]) for first in range(number))

    def _poll(self, timeout_s: float) -> None:
        while self._waiting and len(self._running) < self._max_running:
            due, shards = self._waiting.popleft()
            self._running[self._task.remote(self._inputs, due.trial, due.evaluation, shards)] = due, shards
        if self._running:
            for reference in ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout_s)[0]:
                self._end(reference, *self._running.pop(reference))

    def _end(self, reference: ray.ObjectRef, due: Due, shards: Sequence[int]) -> None:
        name, problem = _name(due), _problem(reference)
        if problem is not None and problem.kind is FailureKind.SURROUNDINGS:
            raise SurroundingsError(f"{due.evaluation.kind} of trial {due.trial.id}: {problem.error}")
        if problem is not None and name not in self._failed:
            self._failed.add(name)
            self.notify(f"{due.evaluation.kind} of trial {due.trial.id} failed: {problem.error}")
        self._unfinished[name] -= 1
        last = self._unfinished[name] == 0
        failed = name in self._failed
        self._count(done=last and not failed, failed=last and failed, parts_done=len(shards) if problem is None else 0)

    def _count(self, total: int = 0, done: int = 0, failed: int = 0, parts: int = 0, parts_done: int = 0) -> None:
        old = self.progress
        self.progress = EvaluationProgress(
            old.total + total, old.done + done, old.failed + failed, old.parts + parts, old.parts_done + parts_done
        )
        for watcher in self.watchers:
            watcher.evaluated(self.progress)


def _name(due: Due) -> tuple[str, str]:
    return due.trial.id, due.evaluation.id


def _problem(reference: ray.ObjectRef) -> Problem | None:
    """Why a task has failed; None where it has not."""
    try:
        problem: Problem | None = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Problem(f"given up: {cause_of(error)}", classify(inner(error)))
    return problem
