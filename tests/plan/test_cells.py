"""What a submission makes of each trial."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import PlacementError
from orchestrator.plan.estimate import START_S, WORKER_GROUP_START_S
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import CellState, decide_cell, make_plan
from orchestrator.state.ledger import Ended, FailureKind, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.spec.job import Job

HERE = Cluster((Machine(cpus=4, gpus=0),))
SEARCH = {"scheduler": "asha", "measure": "d_loss", "mode": "min"}
NEW, CACHED, FAILED = CellState.NEW, CellState.CACHED, CellState.FAILED

# past, a search is on, --retry-failed -> state
DECISIONS = {
    (None, False, False): NEW,
    (None, False, True): NEW,
    (None, True, False): NEW,
    (None, True, True): NEW,
    **{
        (end, searching, retry): CACHED
        for end in ("finished", "saturated", "collapsed", "diverged", "no_improvement", "timeout")
        for searching in (False, True)
        for retry in (False, True)
    },
    ("stopped", False, False): NEW,
    ("stopped", False, True): NEW,
    ("stopped", True, False): CACHED,
    ("stopped", True, True): CACHED,
    **{
        (kind, searching, retry): NEW
        for kind in ("infrastructure", "surroundings")
        for searching in (False, True)
        for retry in (False, True)
    },
    **{
        (kind, searching, retry): NEW if retry else FAILED
        for kind in ("non_finite", "out_of_memory", "program")
        for searching in (False, True)
        for retry in (False, True)
    },
}


def past_of(how: str | None) -> Ended | None:
    if how is None:
        return None
    if how in list(Status):
        return Ended(Status(how))
    return Ended(Status.FAILED, "why", FailureKind(how))


@pytest.mark.parametrize(("case", "state"), DECISIONS.items(), ids=str)
def test_decisions(case: tuple[str | None, bool, bool], state: CellState) -> None:
    how, searching, retry_failed = case
    assert decide_cell(past_of(how), searching=searching, retry_failed=retry_failed) is state


def test_the_decisions_above_are_all_there_are() -> None:
    pasts = {None, *(str(status) for status in Status if status is not Status.FAILED), *map(str, FailureKind)}
    assert set(DECISIONS) == set(itertools.product(pasts, (False, True), (False, True)))


def test_every_trial_is_in_the_plan_in_the_grid_s_order(make: Callable[..., Job]) -> None:
    job = make({"training.seed": [0, 1, 2, 3, 4]})
    ids = [trial.id for trial in job.trials]
    ended = {
        ids[0]: Ended(Status.FINISHED),
        ids[1]: Ended(Status.FAILED, "loss is not finite at step 7", FailureKind.NON_FINITE),
        ids[2]: Ended(Status.FAILED, "node lost", FailureKind.INFRASTRUCTURE),
        ids[3]: Ended(Status.STOPPED),
        "of another grid": Ended(Status.FINISHED),
    }
    plan = make_plan(job, ended, {ids[0], ids[1], ids[3], "of another grid"}, HERE, "here")
    assert [cell.trial for cell in plan.cells] == list(job.trials)
    assert [(cell.state, cell.resumes, cell.error) for cell in plan.cells] == [
        (CACHED, False, None),
        (FAILED, False, "loss is not finite at step 7"),
        (NEW, False, None),
        (NEW, True, None),
        (NEW, False, None),
    ]
    assert plan.having(NEW) == list(plan.cells[2:])
    assert plan.output == "here"

    again = make_plan(job, ended, {ids[1]}, HERE, "here", retry_failed=True)
    assert [(cell.state, cell.resumes, cell.error) for cell in again.cells[:2]] == [
        (CACHED, False, None),
        (NEW, True, None),
    ]
    searching = make_plan(make({"training.seed": [0, 1, 2, 3, 4]}, search=SEARCH), ended, {ids[3]}, HERE, "here")
    assert (searching.cells[3].state, searching.cells[3].resumes) == (CACHED, False)


def test_times_are_of_new_cells_only(make: Callable[..., Job]) -> None:
    job = make({"training.seed": [0, 1, 2]})
    plan = make_plan(job, {job.trials[0].id: Ended(Status.FINISHED)}, (), HERE, "here")
    each = plan.cells[1].device_s
    assert each > 0
    assert plan.device_s == pytest.approx(2 * each)
    assert plan.placements[1].concurrent == 4
    assert plan.wall_s == pytest.approx(START_S + each)  # two run at once, though four would fit

    two_at_once = make_plan(make({"training.seed": list(range(5))}, resources={"max_concurrent": 2}), {}, (), HERE, "")
    assert two_at_once.wall_s == pytest.approx(START_S + 3 * each)


def test_trials_of_more_devices_take_less_time_and_come_first(make: Callable[..., Job]) -> None:
    alone = make_plan(make(), {}, (), HERE, "")
    grid = {"size": [{"training.seed": 0}, {"training.seed": 1, "resources.workers": 2}]}
    mixed = make_plan(make(grid), {}, (), HERE, "")
    assert list(mixed.placements) == [2, 1]
    assert [placement.concurrent for placement in mixed.placements.values()] == [2, 4]
    worker_group, single = (cell.device_s for cell in sorted(mixed.cells, key=lambda cell: -cell.trial.workers))
    assert alone.device_s == pytest.approx(single)
    assert single < worker_group < 2 * single
    assert mixed.wall_s == pytest.approx(START_S + WORKER_GROUP_START_S + worker_group / 2 + single)
    assert str(mixed) == "2 at once, 2 workers of 1 CPU each; then 4 at once, 1 CPU each"


def test_nothing_new_takes_no_time(make: Callable[..., Job]) -> None:
    job = make()
    plan = make_plan(job, {job.trials[0].id: Ended(Status.FINISHED)}, (), HERE, "here")
    assert (plan.device_s, plan.wall_s) == (0, 0)


def test_what_can_never_run_is_refused(make: Callable[..., Job]) -> None:
    with pytest.raises(PlacementError):
        make_plan(make(resources={"cpus_per_worker": 5}), {}, (), HERE, "here")


def test_bf16_without_instructions_for_it_is_a_problem_of_the_plan_if_anything_is_new(
    make: Callable[..., Job],
) -> None:
    job = make(training={"precision": "bf16"})

    def problem(*machines: Machine, done: bool = False) -> str | None:
        ended = {job.trials[0].id: Ended(Status.FINISHED)} if done else {}
        return make_plan(job, ended, (), Cluster(machines), "here").problem

    assert (found := problem(Machine(2, 0, computes_bf16=False))) is not None
    assert found.startswith("job.yaml: training.precision: got bf16, which the processor")
    assert "\n" not in found
    assert problem(Machine(2, 0, computes_bf16=False), done=True) is None
    assert problem(Machine(2, 0, computes_bf16=True)) is None
    assert problem(Machine(2, 1, computes_bf16=False)) is None, "a GPU computes in it"
    assert problem(Machine(2, 0, computes_bf16=False), Machine(2, 0)) is None, "a cluster's other nodes may have it"


def test_data_that_cannot_be_trained_on_is_a_problem_of_the_plan_if_anything_is_new(
    make: Callable[..., Job],
) -> None:
    job = make(training={"batch_size": 1501})
    plan = make_plan(job, {}, (), HERE, "here")
    assert plan.problem == "training.batch_size: got 1501, but the data set holds only 1500 images"
    assert math.isnan(plan.device_s)
    assert math.isnan(plan.wall_s)
    done = {trial.id: Ended(Status.FINISHED) for trial in job.trials}
    assert make_plan(job, done, (), HERE, "here").problem is None


LOOK = {"kind": "quality", "samples": 200}


@pytest.mark.parametrize("evaluate", [[], [LOOK]])
def test_only_what_is_to_be_done_needs_its_data(
    make: Callable[..., Job], evaluate: list[dict[str, Any]], tmp_path: Path
) -> None:
    gone = {"name": "mnist", "root": str(tmp_path)}
    job = make({"data": [{"name": "digits"}, gone]}, data=None, evaluate=evaluate)
    here, missing = job.trials
    everything = make_plan(job, {}, (), HERE, "")
    assert everything.problem is not None
    assert str(tmp_path) in everything.problem
    assert everything.unknown
    assert everything.device_s == everything.cells[0].device_s > 0, "what is here has its estimate"
    assert START_S < everything.wall_s < math.inf

    ended = {missing.id: Ended(Status.FINISHED)}
    evaluated = [due.evaluation.rows_key(missing.id, 0) for due in everything.evaluations if due.trial is missing]
    cached = make_plan(job, ended, {missing.id}, HERE, "", evaluated=evaluated)
    assert [cell.state for cell in cached.cells] == [NEW, CACHED]
    assert cached.problem is None
    assert cached.device_s == everything.device_s
    due = make_plan(job, ended, {missing.id}, HERE, "")
    assert due.problem == (everything.problem if evaluate else None), "an evaluation looks at the images"
    assert make_plan(job, {here.id: Ended(Status.FINISHED)}, (), HERE, "").problem == everything.problem
