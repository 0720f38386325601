"""Has the evaluations of a run computed: those of a trial as soon as it ends, as many tasks at once as are of use."""

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

_LOOK_S = 1.0


class Evaluator:
    """A watcher of a sweep that starts the evaluations of each trial which ends.

    Its tasks wait in Ray for devices as trials do; a few wait at a time, so that on a machine whose warm workers hold
    all processors they begin when the last trials leave some, and no trial ever waits for more than a few of them.
    """

    def __init__(
        self, plan: Plan, inputs: EvaluationInputs, watchers: Sequence[Watcher], say: Callable[[str], None]
    ) -> None:
        self.watchers, self.say = watchers, say
        self._inputs = [ray.put(inputs)]
        placement = inputs.placement
        slots = placement.concurrent * placement.workers
        self._most = 2 * slots
        # One task an evaluation keeps a process' generator and images; few evaluations are cut up for all devices.
        self._tasks_each = math.ceil(slots / max(1, len(plan.due)))
        self._task = evaluate_task.options(
            num_cpus=placement.cpus,
            num_gpus=placement.gpus,
            max_retries=plan.job.header.resources.max_retries,
            retry_exceptions=True,
            scheduling_strategy="SPREAD",
        )
        new = {cell.trial.id for cell in plan.having(CellState.NEW)}
        self._later: dict[str, list[Due]] = {}
        self._waiting: deque[tuple[Due, Sequence[int]]] = deque()
        self._flying: dict[ray.ObjectRef, tuple[Due, Sequence[int]]] = {}
        self._open: dict[tuple[str, str], int] = {}
        """Tasks of each evaluation that have not ended."""
        self._broken: set[tuple[str, str]] = set()
        self.progress = EvaluationProgress(len(plan.due), parts=sum(len(due.missing) for due in plan.due))
        for due in plan.due:
            if due.trial.id in new:
                self._later.setdefault(due.trial.id, []).append(due)
            else:
                self._queue(due)

    def update(self, event: Event) -> None:
        """Queue the evaluations of a trial that has ended well; forget those of one that has not."""
        if event.ended is None:
            return
        for due in self._later.pop(event.trial.id, []):
            if event.ended in (Status.FAILED, Status.STOPPED):
                self._count(total=-1, parts=-len(due.missing))
            else:
                self._queue(due)

    def evaluated(self, progress: EvaluationProgress) -> None:
        """It is what tells this."""

    def tick(self) -> None:
        """Hear of tasks that have ended, and start others. Raises SurroundingsError where none could do better."""
        self._go_on(0.0)

    def drain(self, check: Callable[[], None]) -> None:
        """Stay until all evaluations that are queued have ended; ``check`` is called every second, and may raise."""
        while self._waiting or self._flying:
            check()
            self._go_on(_LOOK_S)
            for watcher in self.watchers:
                watcher.tick()

    def _queue(self, due: Due) -> None:
        number = min(self._tasks_each, len(due.missing))
        self._open[_name(due)] = number
        self._waiting.extend((due, due.missing[first::number]) for first in range(number))

    def _go_on(self, timeout_s: float) -> None:
        while self._waiting and len(self._flying) < self._most:
            due, shards = self._waiting.popleft()
            self._flying[self._task.remote(self._inputs, due.trial, due.evaluation, shards)] = due, shards
        if self._flying:
            for reference in ray.wait(list(self._flying), num_returns=len(self._flying), timeout=timeout_s)[0]:
                self._end(reference, *self._flying.pop(reference))

    def _end(self, reference: ray.ObjectRef, due: Due, shards: Sequence[int]) -> None:
        name, problem = _name(due), _problem(reference)
        if problem is not None and problem.kind is FailureKind.SURROUNDINGS:
            raise SurroundingsError(f"{due.evaluation.kind} of trial {due.trial.id}: {problem.error}")
        if problem is not None and name not in self._broken:
            self._broken.add(name)
            self.say(f"{due.evaluation.kind} of trial {due.trial.id} failed: {problem.error}")
        self._open[name] -= 1
        over = self._open[name] == 0
        failed = name in self._broken
        self._count(done=over and not failed, failed=over and failed, parts_done=len(shards) if problem is None else 0)

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
    """Why a task has failed, if it has."""
    try:
        problem: Problem | None = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Problem(f"given up: {cause_of(error)}", classify(inner(error)))
    return problem
