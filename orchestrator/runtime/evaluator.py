"""Starts the evaluations of a run: those of each trial as soon as it ends, as many at once as devices allow."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import ray

from orchestrator.errors import SurroundingsError
from orchestrator.plan.plan import CellState
from orchestrator.plan.retry import classify
from orchestrator.runtime.deaths import cause_of, inner
from orchestrator.runtime.evaluation import EvaluationInputs, Problem
from orchestrator.runtime.host_work import HostWork
from orchestrator.runtime.worker_pool import Ended, Task, WorkerPool
from orchestrator.state.files import EvaluationProgress
from orchestrator.state.ledger import FailureKind, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.events import Event, Watcher
    from orchestrator.spec.job import Trial
    from orchestrator.state.due import Due

_POLL_S = 1.0


class Evaluator:
    """A watcher of a sweep that starts the evaluations of each trial as it ends; a context, which ends its workers.

    They wait in Ray for devices, as trials do. So on a machine whose warm workers hold all processors evaluations start
    as soon as the last trials free some, and a trial waits for one evaluation at most.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: EvaluationInputs,
        watchers: Sequence[Watcher],
        notify: Callable[[str], None],
        expect: Callable[[Trial], Sequence[Due]],
    ) -> None:
        """``expect`` has the evaluations of a trial that the plan does not know."""
        self.inputs, self.watchers, self.notify, self._expect = inputs, watchers, notify, expect
        placement = inputs.placement
        slots = placement.concurrent * placement.workers
        reference, retries = [ray.put(inputs)], plan.job.header.resources.max_retries
        self._pool = WorkerPool(reference, placement, slots)
        self._host_work = HostWork(reference, retries) if placement.gpus else None
        """None where a worker holds no GPU, and does this work itself."""
        # Few evaluations are split, so that all devices are used.
        self._tasks_each = math.ceil(slots / max(1, len(plan.due), plan.to_propose))
        self._max_tries = 1 + retries
        new = {cell.trial.id for cell in plan.having(CellState.NEW)}
        self._planned = new
        self._after_training: dict[str, list[Due]] = {}
        self._preparing: deque[Task] = deque()
        self._waiting: deque[Task] = deque()
        self._unfinished: dict[tuple[str, str], int] = {}
        """Number of each evaluation's tasks that have not ended."""
        self._failed: set[tuple[str, str]] = set()
        self.progress = EvaluationProgress(len(plan.due), parts=sum(len(due.missing) for due in plan.due))
        for due in plan.due:
            if due.trial.id in new:
                self._after_training.setdefault(due.trial.id, []).append(due)
            else:
                self._queue(due)

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.close()

    def update(self, event: Event) -> None:
        """Queue the evaluations of a trial that has ended; drop those of one that failed or was stopped."""
        if event.ended is None:
            return
        if event.trial.id not in self._planned:
            self._add(event.trial)
        for due in self._after_training.pop(event.trial.id, []):
            if event.ended in (Status.FAILED, Status.STOPPED):
                self._count(total=-1, parts=-len(due.missing))
            else:
                self._queue(due)

    def _add(self, trial: Trial) -> None:
        """Add the evaluations of a trial that a search has proposed since the plan."""
        self._after_training[trial.id] = dues = list(self._expect(trial))
        if dues:
            self._count(total=len(dues), parts=sum(len(due.missing) for due in dues))

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Do nothing: the evaluator itself reports this progress to the other watchers."""

    def tick(self) -> None:
        """Collect tasks that have ended, and start others. Raises SurroundingsError where every one would fail."""
        self._poll(0.0)

    def drain(self, check: Callable[[], None]) -> None:
        """Wait until all queued evaluations have ended; ``check`` is called every second, and may raise."""
        while self._preparing or self._waiting or self._pool.busy:
            check()
            self._poll(_POLL_S)
            for watcher in self.watchers:
                watcher.tick()

    def _queue(self, due: Due) -> None:
        number = min(self._tasks_each, len(due.missing))
        self._unfinished[_name(due)] = number
        tasks = [Task(due, due.missing[first::number]) for first in range(number)]
        on_host = due.evaluation.on_host and self._host_work is not None
        (self._preparing if on_host else self._waiting).extend(tasks)

    def _poll(self, timeout_s: float) -> None:
        self._pool.distribute(self._waiting, self._prepare())
        for ended in self._pool.collect(self._waiting, timeout_s):
            self._end(ended)

    def _prepare(self) -> int:
        """Have the processors' part of the next tasks computed; the number of shards of which it is not there yet."""
        unfinished = 0
        for _ in range(min(len(self._preparing), 2 * self._pool.most)):
            task = self._preparing.popleft()
            assert self._host_work is not None
            on_host = task.on_host or self._host_work.of(task.due, task.shards)
            _, left = ray.wait(on_host, num_returns=len(on_host), timeout=0, fetch_local=False)
            unfinished += len(left)
            (self._preparing if left else self._waiting).append(task._replace(on_host=on_host))
        return unfinished

    def _end(self, ended: Ended) -> None:
        (due, shards, tries, _), problem = ended.task, ended.problem
        if ended.error is not None:
            tries += not getattr(ended.error, "preempted", False)
            kind = classify(inner(ended.error))
            if tries < self._max_tries and kind.may_pass:
                self._waiting.appendleft(ended.task._replace(tries=tries))
                return
            problem = Problem(f"given up: {cause_of(ended.error)}", kind)
        if problem is not None and problem.kind is FailureKind.SURROUNDINGS:
            raise SurroundingsError(f"{due.evaluation.kind} of trial {due.trial.id}: {problem.error}")
        name = _name(due)
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
