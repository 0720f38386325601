"""What a submission would do: every trial as new, cached or failed, on which devices, for how long, into where."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.plan.estimate import GANG_START_S, MOST_CPUS, START_S, classifiers_s, estimate_device_s, wall_s
from orchestrator.plan.evaluations import Due, find_due
from orchestrator.plan.ledger import Ended, Status
from orchestrator.plan.placement import Cluster, Placement, place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from orchestrator.spec.job import Job, Trial


class CellState(StrEnum):
    """What a submission makes of a trial: ``new`` runs, ``cached`` and ``failed`` stay as they are."""

    NEW = "new"
    CACHED = "cached"
    FAILED = "failed"


@dataclass(frozen=True)
class Cell:
    """One trial of the plan; ``resumes`` tells that a checkpoint waits, ``error`` why it failed before.

    ``device_s`` is the estimate of its device-seconds, NaN where the data is not there to be counted.
    """

    trial: Trial
    state: CellState
    device_s: float
    resumes: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Plan:
    """All trials of a job and what is to be done with each; ``placements`` are by the number of a trial's workers.

    ``problem`` tells why what is to be done cannot be done here and now: data is missing or too small, or
    Inception's weights are not there.
    """

    job: Job
    cells: tuple[Cell, ...]
    placements: Mapping[int, Placement]
    output: str
    problem: str | None = None
    start_s: float = START_S
    """What goes by before the first step and after the last."""
    evaluations: tuple[Due, ...] = ()
    """All evaluations of the trials that are done or will be, but those that a search or a failure ended."""

    @property
    def due(self) -> list[Due]:
        """The evaluations of which something is missing."""
        return [due for due in self.evaluations if due.missing]

    @property
    def runs(self) -> bool:
        """Whether there is anything to be done."""
        return bool(self.having(CellState.NEW) or self.due)

    def without_training(self) -> Plan:
        """What is to be done for the trials alone that are done."""
        kept = tuple(self.having(CellState.CACHED))
        ids = {cell.trial.id for cell in kept}
        rest = replace(self, cells=kept, evaluations=tuple(due for due in self.evaluations if due.trial.id in ids))
        return rest if rest.runs else replace(rest, problem=None)

    def having(self, state: CellState) -> list[Cell]:
        """The cells in one state."""
        return [cell for cell in self.cells if cell.state is state]

    @property
    def device_s(self) -> float:
        """Device-seconds that the new cells take by estimate, those left out whose data is missing; NaN for all."""
        new = self.having(CellState.NEW)
        known = self._known(new)
        return sum(cell.device_s for cell in known) if known or not new else math.nan

    @property
    def wall_s(self) -> float:
        """Seconds until the new cells are done and the report is written: Ray's start, then those of each size in turn.

        As for ``device_s``; what evaluations take is not counted.
        """
        new = self._known(self.having(CellState.NEW))
        if not new:
            return self.device_s
        seconds = self.start_s
        for workers, placement in self.placements.items():
            lengths = [cell.device_s / workers for cell in new if cell.trial.workers == workers]
            seconds += wall_s(lengths, placement.concurrent)
        return seconds

    @property
    def unknown(self) -> bool:
        """Whether some of the new cells have no estimate, their data being missing."""
        return any(math.isnan(cell.device_s) for cell in self.having(CellState.NEW))

    @staticmethod
    def _known(cells: list[Cell]) -> list[Cell]:
        return [cell for cell in cells if not math.isnan(cell.device_s)]

    def __str__(self) -> str:
        """What the trials are given and how many of them run at once."""
        return "; then ".join(str(placement) for placement in self.placements.values())


def make_plan(
    job: Job,
    ended: Mapping[str, Ended],
    checkpointed: Collection[str],
    cluster: Cluster,
    output: str,
    retry_failed: bool = False,
    evaluated: Collection[str] = (),
) -> Plan:
    """Decide on every trial and evaluation from what is known of them; reads no results. Raises PlacementError.

    ``evaluated`` are the keys of the files below evaluations/.
    """
    placements = {
        workers: place(job.header.resources, workers, cluster)
        for workers in sorted({trial.workers for trial in job.trials}, reverse=True)
    }
    some = next(iter(placements.values()))
    seconds = estimate_device_s(job.trials, ended, some.device, some.cpus)
    cells = []
    for trial in job.trials:
        past = ended.get(trial.id)
        state = decide_cell(past, searching=job.header.search is not None, retry_failed=retry_failed)
        error = past.error if past and state is CellState.FAILED else None
        resumes = state is CellState.NEW and trial.id in checkpointed
        cells.append(Cell(trial, state, seconds[trial.id], resumes, error))
    lasting = [cell.trial for cell in cells if _lasts(cell.state, ended.get(cell.trial.id))]
    evaluations = find_due(lasting, job.header.evaluate, evaluated)
    start_s = _start_s(cells, some.device, cluster)
    plan = Plan(job, tuple(cells), placements, output, start_s=start_s, evaluations=evaluations)
    return replace(plan, problem=_problem(plan))


def _start_s(cells: Iterable[Cell], device: str, cluster: Cluster) -> float:
    """What goes by before the first step and after the last."""
    new = [cell.trial for cell in cells if cell.state is CellState.NEW]
    done = [cell.trial for cell in cells if cell.state is not CellState.NEW]
    gangs = GANG_START_S if any(trial.workers > 1 for trial in new) else 0.0
    cores = min(MOST_CPUS, max(node.cpus for node in cluster.nodes))
    return START_S + gangs + classifiers_s(new, done, device, cores)


def _problem(plan: Plan) -> str | None:
    """What keeps the new trials, or the evaluations that are due, from being run here; others need nothing."""
    for trial in [cell.trial for cell in plan.having(CellState.NEW)] + [due.trial for due in plan.due]:
        try:
            trial.settings.total_steps  # noqa: B018 - which counts the images
        except DataError as missing:
            return str(missing)
    return next(filter(None, (due.evaluation.lacks() for due in plan.due)), None)


def _lasts(state: CellState, past: Ended | None) -> bool:
    """Whether there is, or will be, a generator to evaluate: a trial that a search stopped may go on another time."""
    stopped = past is not None and past.status is Status.STOPPED
    return state is CellState.NEW or (state is CellState.CACHED and not stopped)


def decide_cell(past: Ended | None, *, searching: bool, retry_failed: bool) -> CellState:
    """What to do with a trial that ended as ``past``.

    A trial that a search stopped is an answer to that search only. A failure of machines or storage is worth another
    run whenever the job is submitted; others would fail the same way, and run again only when asked for.
    """
    if past is None:
        return CellState.NEW
    if past.status is Status.FAILED:
        again = retry_failed or (past.error_kind is not None and past.error_kind.may_pass)
        return CellState.NEW if again else CellState.FAILED
    if past.status is Status.STOPPED and not searching:
        return CellState.NEW
    return CellState.CACHED
