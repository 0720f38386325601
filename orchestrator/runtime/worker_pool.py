"""A pool of warm workers of evaluations: asked for while tasks wait, given back when they idle or others wait."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import ray

from orchestrator.runtime.demand import Demand
from orchestrator.runtime.evaluation import EvaluationWorker, Problem
from orchestrator.runtime.ray_private import draining_nodes

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from orchestrator.plan.placement import Placement
    from orchestrator.state.due import Due

_IDLE_S = 10.0
"""How long a worker without a task keeps its devices, while nothing else wants them."""
_COURTESY_S = 5.0
"""How long others have to take devices given back for them: a worker that is asked for at once would get them first."""


class Task(NamedTuple):
    """Some shards of an evaluation; ``tries`` of them were lost with a worker, or failed in a way that may pass."""

    due: Due
    shards: Sequence[int]
    tries: int = 0
    on_host: Sequence[ray.ObjectRef] = ()
    """What was computed for the shards where no GPU is needed; empty where there is nothing of the kind."""


class Ended(NamedTuple):
    """How a task ended: ``problem`` is why another try cannot help, ``error`` why this one failed."""

    task: Task
    problem: Problem | None = None
    error: ray.exceptions.RayError | None = None


@dataclass(eq=False)
class _Worker:
    """``call`` is what it does: its start, then ``task``; None while it idles."""

    actor: Any
    call: ray.ObjectRef | None
    task: Task | None = None
    node: str = ""
    served: bool = False
    since: float = field(default_factory=time.monotonic)


class WorkerPool:
    """At most ``most`` workers, each on the devices of one trial's worker.

    Their requests wait in Ray, where an autoscaler sees them. A worker that has served a task is ended, and gets no
    other one, where trials or other runs wait for devices, or where its node is about to go.
    """

    def __init__(self, inputs: list[ray.ObjectRef], placement: Placement, most: int) -> None:
        self.most, self._arguments = most, (inputs, placement)
        self._actor = ray.remote(EvaluationWorker).options(
            num_cpus=placement.cpus, num_gpus=placement.gpus, scheduling_strategy="SPREAD"
        )
        self._workers: list[_Worker] = []
        self._demand = Demand()
        self._asks_from = 0.0
        """When it may ask for workers again."""

    @property
    def busy(self) -> bool:
        """Whether a task has not ended."""
        return any(worker.task for worker in self._workers)

    def distribute(self, waiting: deque[Task], others: int = 0) -> None:
        """Give the first tasks to workers that idle, and ask for as many workers as the others need.

        ``others`` are further tasks that this process has in Ray, for which no worker is ended.
        """
        self._give_back(bool(waiting), others)
        for worker in self._idle():
            if waiting:
                task = waiting.popleft()
                worker.task, worker.served = task, True
                worker.call = worker.actor.evaluate.remote(
                    task.due.trial, task.due.evaluation, task.shards, task.on_host
                )
        starting = self._starting()
        for worker in starting[len(waiting) :]:
            self._end(worker)
        if time.monotonic() < self._asks_from:
            return
        for _ in range(min(len(waiting) - len(starting), self.most - len(self._workers))):
            actor = self._actor.remote(*self._arguments)
            self._workers.append(_Worker(actor, actor.node.remote()))

    def collect(self, waiting: deque[Task], timeout_s: float) -> list[Ended]:
        """The tasks that have ended. Waits at most ``timeout_s`` for one, or for a worker that has started.

        A worker that died, or whose task raised an error, is ended. One that failed to start has failed the first of
        the ``waiting`` tasks.
        """
        calls = {worker.call: worker for worker in self._workers if worker.call is not None}
        if not calls:
            time.sleep(timeout_s)
            return []
        done, _ = ray.wait(list(calls), num_returns=1, timeout=timeout_s)
        if len(calls) > 1:
            done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return [ended for call in done if (ended := self._ended(calls[call], waiting)) is not None]

    def close(self) -> None:
        """End all workers at once."""
        for worker in list(self._workers):
            self._end(worker)

    def _ended(self, worker: _Worker, waiting: deque[Task]) -> Ended | None:
        task, call = worker.task, worker.call
        worker.task = worker.call = None
        worker.since = time.monotonic()
        try:
            answer = ray.get(call)
        except ray.exceptions.RayError as error:
            self._end(worker)
            task = task or (waiting.popleft() if waiting else None)
            return None if task is None else Ended(task, error=error)
        if task is None:
            worker.node = answer
            return None
        return Ended(task, problem=answer)

    def _give_back(self, work_waits: bool, others: int) -> None:
        """End workers that idle for too long, that are on a node that is drained, or whose devices others wait for."""
        if not self._workers:
            return
        wanted = self._demand.others_wait(own=len(self._starting()) + others)
        if not (idle := self._idle()):
            return
        draining, now = draining_nodes(), time.monotonic()
        for worker in idle:
            # One that has served nobody yet gets its task first: otherwise nothing would ever be done.
            yields = wanted and (worker.served or not work_waits)
            too_long = not work_waits and now - worker.since > _IDLE_S
            if yields or too_long or worker.node in draining:
                self._end(worker)
            if yields:
                self._asks_from = now + _COURTESY_S
        if self._asks_from > now:
            for worker in self._starting():
                self._end(worker)

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        ray.kill(worker.actor)

    def _idle(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.call is None]

    def _starting(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.call is not None and worker.task is None]
