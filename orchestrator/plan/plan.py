"""What a submission would do: every trial as new, cached or failed, on which devices, for how long, into where."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.plan.checks import find_problem
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

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from orchestrator.data import Dataset
    from orchestrator.spec.job import Job, Trial


class CellState(StrEnum):
    """What a submission makes of a trial: ``new`` runs, ``cached`` and ``failed`` stay as they are."""

    NEW = "new"
    CACHED = "cached"
    FAILED = "failed"


@dataclass(frozen=True)
class Cell:
    """One trial of the plan; ``resumes`` tells that a checkpoint waits, ``error`` why it failed before.

    ``device_s`` is the estimate of its device-seconds, NaN where the data is not there to be counted. ``other_images``
    is the fingerprint of the images that its row in storage is of, where they are not those that are there now.
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
    notes: tuple[str, ...] = ()
    """What a reader has to know of the data, and of trials that are new though storage has results of them."""

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
        return _with_problem(rest)

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
    fingerprints: Mapping[Dataset, str] | None = None,
) -> Plan:
    """Decide on every trial and evaluation from what is known of them; reads no results. Raises PlacementError.

    ``evaluated`` are the keys of the files below evaluations/. ``fingerprints`` are those of the training images that
    are there now: a trial of others is new. A row that does not say which it is of, as those of earlier versions, and
    one whose images are not there to be compared, count as of the same.
    """
    fingerprints = fingerprints or {}
    placements = {
        workers: place(job.header.resources, workers, cluster)
        for workers in sorted({trial.workers for trial in job.trials}, reverse=True)
    }
    some = next(iter(placements.values()))
    seconds = estimate_device_s(job.trials, ended, some.device, some.cpus)
    cells = []
    for trial in job.trials:
        past = ended.get(trial.id)
        others = _other_images(past, fingerprints.get(trial.settings.data))
        state = decide_cell(None if others else past, searching=bool(job.header.search), retry_failed=retry_failed)
        error = past.error if past and state is CellState.FAILED else None
        resumes = state is CellState.NEW and trial.id in checkpointed and not others
        cells.append(Cell(trial, state, seconds[trial.id], resumes, error, others))
    lasting = [cell.trial for cell in cells if _lasts(cell.state, ended.get(cell.trial.id))]
    replaced = {cell.trial.id for cell in cells if cell.other_images}
    evaluations = find_due(lasting, job.header.evaluate, evaluated)
    evaluations = tuple(due.anew() if due.trial.id in replaced else due for due in evaluations)
    notes = tuple(_notes(cells, ended))
    start_s = _start_s(cells, some.device, cluster)
    return _with_problem(Plan(job, tuple(cells), placements, output, None, start_s, evaluations, notes))


def _start_s(cells: Iterable[Cell], device: str, cluster: Cluster) -> float:
    """What goes by before the first step and after the last."""
    new = [cell.trial for cell in cells if cell.state is CellState.NEW]
    done = [cell.trial for cell in cells if cell.state is not CellState.NEW]
    worker_groups = WORKER_GROUP_START_S if any(trial.workers > 1 for trial in new) else 0.0
    cores = min(MOST_CPUS, max(node.cpus for node in cluster.nodes))
    return START_S + worker_groups + classifiers_s(new, done, device, cores)


def _with_problem(plan: Plan) -> Plan:
    """The plan with what keeps its new trials and due evaluations from being done; what is done needs no data."""
    trials = [*(cell.trial for cell in plan.having(CellState.NEW)), *(due.trial for due in plan.due)]
    distinct = {trial.id: trial for trial in trials}.values()
    return replace(plan, problem=find_problem(distinct, [due.evaluation for due in plan.due]))


def _other_images(past: Ended | None, fingerprint: str | None) -> str | None:
    """The fingerprint of a row whose images are known to be others than those that are there now."""
    if past is None or past.data_fingerprint in (None, fingerprint) or fingerprint is None:
        return None
    return past.data_fingerprint


def _notes(cells: Iterable[Cell], ended: Mapping[str, Ended]) -> Iterator[str]:
    """A line for each data set of which trials have results of other images."""
    counts = Counter((cell.trial.settings.data, ended[cell.trial.id].images) for cell in cells if cell.other_images)
    for (data, then), number in counts.items():
        are = "trial is" if number == 1 else "trials are"
        of = f"{then} other images" if then else "other images"
        yield (
            f"{number} {are} new: the results in storage are of {of} of {data.name}, "
            f"now there are {data.size}; they are kept in {REPLACED}/"
        )


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
        again = retry_failed or (past.error_kind is not None and not past.error_kind.of_trial)
        return CellState.NEW if again else CellState.FAILED
    if past.status is Status.STOPPED and not searching:
        return CellState.NEW
    return CellState.CACHED
