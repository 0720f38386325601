"""The plan of a submission: each trial as new, cached or failed, the devices, the time, and where results go."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.plan.checks import find_problem, without_optuna
from orchestrator.plan.estimate import (
    MOST_CPUS,
    START_S,
    WORKER_GROUP_START_S,
    classifiers_s,
    estimate_device_s,
    wall_s,
)
from orchestrator.plan.placement import Cluster, Placement, place
from orchestrator.state.due import Due, find_due
from orchestrator.state.ledger import Ended, Status
from orchestrator.state.replaced import REPLACED
from orchestrator.text import plural
from orchestrator.training.precision import without_bf16

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from orchestrator.data import Dataset
    from orchestrator.spec.job import Job, Trial


class CellState(StrEnum):
    """What a submission does with a trial: ``new`` runs, ``cached`` and ``failed`` stay as they are."""

    NEW = "new"
    CACHED = "cached"
    FAILED = "failed"


@dataclass(frozen=True)
class Cell:
    """One trial of the plan; ``resumes``: it goes on from a checkpoint; ``error``: why it failed before.

    ``device_s`` is the estimate of its device-seconds, NaN where the data is missing. ``other_images`` is the
    fingerprint of the images of its row in storage, where the present images are others.
    """

    trial: Trial
    state: CellState
    device_s: float
    resumes: bool = False
    error: str | None = None
    other_images: str | None = None


@dataclass(frozen=True)
class Plan:
    """All trials of a job and what is to be done with each; ``placements`` are by the number of a trial's workers.

    ``problem`` is the reason why the new trials or due evaluations cannot be done here and now: data is missing or too
    small, Inception's weights are missing, or the processor does not compute in bf16.
    """

    job: Job
    cells: tuple[Cell, ...]
    placements: Mapping[int, Placement]
    output: str
    problem: str | None = None
    start_s: float = START_S
    """Seconds before the first step and after the last."""
    evaluations: tuple[Due, ...] = ()
    """All evaluations of trials that are done or will be, without trials that a search or a failure ended."""
    notes: tuple[str, ...] = ()
    """Notes on the data, and on trials that are new though storage has results of them."""
    to_propose: int = 0
    """The most trials that a search will propose beside the cells, and so is no cell yet."""
    proposed_s: float = 0.0
    """Estimated device-seconds of each of these, NaN where the data is missing."""

    @property
    def due(self) -> list[Due]:
        """The evaluations with missing shards."""
        return [due for due in self.evaluations if due.missing]

    @property
    def runs(self) -> bool:
        """Whether there are new trials or due evaluations, or a search has trials to propose."""
        return bool(self.to_run or self.due)

    @property
    def to_run(self) -> int:
        """The number of trials that a run trains; of a search the most."""
        return len(self.having(CellState.NEW)) + self.to_propose

    @property
    def to_train(self) -> list[Trial]:
        """The new trials and, of a search with trials to propose, what stands for these."""
        return [*(cell.trial for cell in self.having(CellState.NEW)), *(self.job.ends if self.to_propose else ())]

    def without_training(self) -> Plan:
        """The plan for the trials that are done only."""
        cached = tuple(self.having(CellState.CACHED))
        ids = {cell.trial.id for cell in cached}
        evaluations = tuple(due for due in self.evaluations if due.trial.id in ids)
        rest = replace(self, cells=cached, evaluations=evaluations, to_propose=0)
        return _with_problem(rest)

    def having(self, state: CellState) -> list[Cell]:
        """The cells in one state."""
        return [cell for cell in self.cells if cell.state is state]

    @property
    def device_s(self) -> float:
        """Estimated device-seconds of what is to run, without cells whose data is missing; NaN if all are."""
        estimated = self._estimated
        return sum(seconds for _, seconds in estimated) if estimated or not self.to_run else math.nan

    @property
    def wall_s(self) -> float:
        """Seconds until what is to run is done and the report is written: Ray's start, then each size in turn.

        NaN as for ``device_s``; evaluations are not counted.
        """
        if not self._estimated:
            return self.device_s
        seconds = self.start_s
        for size, placement in self.placements.items():
            lengths = [device_s / size for workers, device_s in self._estimated if workers == size]
            seconds += wall_s(lengths, placement.concurrent)
        return seconds

    @property
    def unknown(self) -> bool:
        """Whether some new cells have no estimate, since their data is missing."""
        return len(self._estimated) < self.to_run

    @property
    def _estimated(self) -> list[tuple[int, float]]:
        """Workers and device-seconds of each trial that is to run and has an estimate."""
        trials = [(cell.trial.workers, cell.device_s) for cell in self.having(CellState.NEW)]
        trials += self.to_propose * [(next(iter(self.placements)), self.proposed_s)]
        return [one for one in trials if not math.isnan(one[1])]

    def __str__(self) -> str:
        """The devices of the trials and the number of trials at once."""
        return "; then ".join(str(placement) for placement in self.placements.values())


def make_plan(
    job: Job,
    ended: Mapping[str, Ended],
    checkpointed: Collection[str],
    cluster: Cluster,
    output: str,
    retry_failed: bool = False,
    evaluated: Collection[str] = (),
    fingerprints: Mapping[Dataset, str] | None = None,
) -> Plan:
    """Decide on every trial and evaluation from the arguments; reads no results. Raises PlacementError.

    ``checkpointed`` are the ids of trials with a checkpoint, and with ``.best`` after them those with one of the lowest
    FID. ``evaluated`` are the keys of the files below evaluations/. ``fingerprints`` are those of the present training
    images: a trial that was trained on others is new. A row without a fingerprint, as of earlier versions, and one
    whose images are not present count as of the same images.
    """
    fingerprints = fingerprints or {}
    placements = {
        workers: place(job.header.resources, workers, cluster)
        for workers in sorted({trial.workers for trial in job.examples}, reverse=True)
    }
    largest = next(iter(placements.values()))
    seconds = estimate_device_s([*job.trials, *job.ends], ended, largest.device, largest.cpus)
    cells = []
    for trial in job.trials:
        past = ended.get(trial.id)
        others = _other_images(past, fingerprints.get(trial.settings.data))
        state = decide_cell(None if others else past, searching=job.stops, retry_failed=retry_failed)
        error = past.error if past and state is CellState.FAILED else None
        resumes = state is CellState.NEW and trial.id in checkpointed and not others
        cells.append(Cell(trial, state, seconds[trial.id], resumes, error, others))
    lasting = [cell.trial for cell in cells if _lasts(cell.state, ended.get(cell.trial.id))]
    replaced = {cell.trial.id for cell in cells if cell.other_images}
    evaluations = find_due(lasting, job.header.evaluate, evaluated)
    evaluations = tuple(due.anew() if due.trial.id in replaced else due for due in evaluations)
    evaluations, lost = without_lost(job, evaluations, cells, checkpointed)
    notes = (*_notes(cells, ended), *lost)
    ends = [seconds[trial.id] for trial in job.ends if not math.isnan(seconds[trial.id])]
    proposed_s = sum(ends) / len(ends) if ends else math.nan if job.ends else 0.0
    plan = Plan(job, tuple(cells), placements, output, None, 0.0, evaluations, notes, job.to_propose, proposed_s)
    plan = _with_problem(replace(plan, start_s=_start_s(plan, largest.device, cluster)))
    return replace(plan, problem=plan.problem or _precision_problem(plan, cluster))


def without_lost(
    job: Job, dues: Iterable[Due], cells: Iterable[Cell], checkpointed: Collection[str]
) -> tuple[tuple[Due, ...], tuple[str, ...]]:
    """The evaluations that can be computed or are stored, and a note on those whose trial's checkpoint is gone."""
    done = {cell.trial.id for cell in cells if cell.state is not CellState.NEW}
    dues = tuple(dues)
    lost = [due for due in dues if due.missing and due.trial.id in done and due.checkpoint not in checkpointed]
    if not lost:
        return dues, ()
    of, this = plural(len({due.trial.id for due in lost}), "trial"), lost[0].trial.id[:8]
    note = (
        f"{plural(len(lost), 'evaluation')} of {of} cannot be computed, for want of checkpoints, which were removed: "
        f"'orch rm {job.header.name} --trials {this}' makes such a trial new, and a submission trains it again"
    )
    gone = {due.name for due in lost}
    return tuple(due for due in dues if due.name not in gone), (note,)


def _start_s(plan: Plan, device: str, cluster: Cluster) -> float:
    """Seconds before the first step and after the last."""
    new = plan.to_train
    done = [cell.trial for cell in plan.cells if cell.state is not CellState.NEW]
    worker_groups = WORKER_GROUP_START_S if any(trial.workers > 1 for trial in new) else 0.0
    cores = min(MOST_CPUS, max(node.cpus for node in cluster.nodes))
    return START_S + worker_groups + classifiers_s(new, done, device, cores)


def _with_problem(plan: Plan) -> Plan:
    """The plan with the problem of its new trials and due evaluations; trials that are done need no data."""
    trials = [*plan.to_train, *(due.trial for due in plan.due)]
    distinct = {trial.id: trial for trial in trials}.values()
    evaluations = plan.job.header.evaluate if plan.to_propose else [due.evaluation for due in plan.due]
    problem = find_problem(distinct, evaluations) or (without_optuna(plan.job) if plan.to_propose else None)
    return replace(plan, problem=problem)


def _precision_problem(plan: Plan, cluster: Cluster) -> str | None:
    """Why the new trials' processors cannot compute in the precision that they ask for; None where they can."""
    asked = any(trial.settings.training.precision == "bf16" for trial in plan.to_train)
    on_processors = all(placement.device == "cpu" for placement in plan.placements.values())
    if not asked or not on_processors or any(node.computes_bf16 for node in cluster.nodes):
        return None
    return f"{plan.job.source}: {without_bf16()}"


def _other_images(past: Ended | None, fingerprint: str | None) -> str | None:
    """The fingerprint of a row whose images differ from the present ones; None where they are equal or unknown."""
    if past is None or past.data_fingerprint in (None, fingerprint) or fingerprint is None:
        return None
    return past.data_fingerprint


def _notes(cells: Iterable[Cell], ended: Mapping[str, Ended]) -> Iterator[str]:
    """A line for each data set with results of other images."""
    counts = Counter((cell.trial.settings.data, ended[cell.trial.id].images) for cell in cells if cell.other_images)
    for (data, images_then), number in counts.items():
        are = "trial is" if number == 1 else "trials are"
        others = f"{images_then} other images" if images_then else "other images"
        yield (
            f"{number} {are} new: the results in storage are of {others} of {data.name}, "
            f"now there are {data.size}; they are kept in {REPLACED}/"
        )


def _lasts(state: CellState, past: Ended | None) -> bool:
    """Whether there is, or will be, a final generator to evaluate: a trial that a search stopped may still go on."""
    stopped = past is not None and past.status is Status.STOPPED
    return state is CellState.NEW or (state is CellState.CACHED and not stopped)


def decide_cell(past: Ended | None, *, searching: bool, retry_failed: bool) -> CellState:
    """What to do with a trial that ended as ``past``.

    A trial that a search stopped is a result of a search only. A failure of machines or storage is tried again
    whenever the job is submitted; other failures would repeat, and are tried again with ``retry_failed`` only.
    """
    if past is None:
        return CellState.NEW
    if past.status is Status.FAILED:
        again = retry_failed or (past.error_kind is not None and not past.error_kind.of_trial)
        return CellState.NEW if again else CellState.FAILED
    if past.status is Status.STOPPED and not searching:
        return CellState.NEW
    return CellState.CACHED
