"""Trials of several devices: the same numbers as on one, on a worker group that stays warm."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from orchestrator.data.batches import to_device
from orchestrator.plan.plan import CellState
from orchestrator.runtime.sweep import run_sweep
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import read_table
from orchestrator.training.session import Session
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import QUALITY, STUDY, classifier_key, planner, raw_job
from tests.ray.worker_groups import TWO, watching_worker_groups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.sweep import Outcome
    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store

pytestmark = pytest.mark.usefixtures("ray_here")

BROKEN = {
    "training.g_optimizer.lr": 1.0,
    "training.g_optimizer.betas": [0.0, 0.0],
    "training.g_optimizer.eps": 1e-300,
    "model.latent_dim": 2,
    "model.width": 1,
}
"""Updates that end in a NaN within a few steps."""


class Mixed(NamedTuple):
    """A sweep of trials that do well and trials that do not, on two devices but for the last; how each went."""

    plan: Plan
    first: Trial
    nan: Trial
    second: Trial
    damaged: Trial
    third: Trial
    alone: Trial
    store: Store
    outcome: Outcome
    ends: dict[str, Status]
    worker_groups: set[tuple[int, ...]]

    @property
    def good(self) -> list[Trial]:
        """Those that nothing ailed."""
        return [self.first, self.second, self.third, self.alone]


@pytest.fixture(scope="module")
def mixed(ray_here: None, classifier: bytes, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    two = {"resources.workers": 2}
    cases = [
        {**two, "objective.kind": "saturating"},
        {**two, **BROKEN},
        {**two, "objective.kind": "least_squares", "training.d_steps": 2},
        {**two, "training.seed": 1},
        {**two, "training.seed": 2},
        {"training.seed": 3},
    ]
    raw = raw_job(data=STUDY["data"], grid={"case": cases}, evaluate=[QUALITY], resources={})
    raw["training"] = {**raw["training"], "batch_size": 20}
    plan, store = planner(tmp_path_factory.mktemp("mixed"))(raw)
    trials = plan.job.trials
    store.sibling("_classifiers").write(classifier_key().partition("/")[2], classifier)
    store.write(f"checkpoints/{trials[3].id}.pt", b"not a checkpoint")
    recorder, worker_groups = watching_worker_groups()
    outcome = run_sweep(plan, store, [recorder])
    return Mixed(plan, *trials, store, outcome, recorder.ends(), worker_groups)


def test_a_sweep_may_mix_trials_of_one_device_and_of_two(mixed: Mixed) -> None:
    assert (mixed.outcome.ended, mixed.outcome.failed, mixed.outcome.interrupted) == (6, 2, False)
    assert {trial.id for trial in mixed.good} == {name for name, end in mixed.ends.items() if end is Status.FINISHED}
    workers = {row["trial_id"]: row["workers"] for row in rows_of(mixed)}
    assert workers == {trial.id: trial.workers for trial in mixed.good}


def test_worker_groups_that_want_every_processor_take_turns(mixed: Mixed) -> None:
    # What hangs where a trial's driver holds a processor, as tests/ray/test_nesting.py shows.
    assert mixed.plan.placements[2].concurrent == 1
    assert len(mixed.ends) == 6


def test_two_processes_come_to_the_numbers_of_one(mixed: Mixed, tmp_path: Path) -> None:
    trial = mixed.second
    session = Session(trial.id, trial.settings, to_device(trial.settings.data.load(), "cpu"), LocalStore(tmp_path))
    while not session.progress.done:
        session.advance(60)
    row = next(row for row in rows_of(mixed) if row["trial_id"] == trial.id)
    for name in ("d_loss", "g_loss", "d_real", "g_grad_norm", "g_score_gradient"):
        assert row[name] == pytest.approx(session.summary()[name], rel=1e-3)


def test_nan_fails_its_trial_and_a_damaged_checkpoint_too_in_one_line_each(mixed: Mixed) -> None:
    nan, damaged = (read_ledger(mixed.store)[trial.id] for trial in (mixed.nan, mixed.damaged))
    assert (nan.status, nan.error_kind) == (Status.FAILED, "non_finite")
    assert nan.error is not None
    assert nan.error.startswith("loss is not finite at step ")
    assert (damaged.status, damaged.error_kind) == (Status.FAILED, "program")
    assert damaged.error is not None
    assert "delete it" in damaged.error
    assert "\n" not in nan.error + damaged.error


def test_a_worker_group_stays_for_the_next_trial_but_where_one_of_its_processes_failed(mixed: Mixed) -> None:
    # A NaN is seen by both at once; what one of them reads from storage is not.
    assert len(mixed.worker_groups) == 2
    assert all(len(worker_group) == 2 for worker_group in mixed.worker_groups)


def test_what_worker_groups_have_trained_is_evaluated_as_all_else_is(mixed: Mixed) -> None:
    assert (mixed.outcome.evaluations.done, mixed.outcome.evaluations.failed) == (4, 0)
    rows = read_table(mixed.store, "evaluations/quality").table.to_pylist()
    assert Counter(row["trial_id"] for row in rows) == {trial.id: 2 for trial in mixed.good}
    assert len({(row["trial_id"], row["shard"]) for row in rows}) == len(rows)


def rows_of(mixed: Mixed) -> list[dict[str, Any]]:
    rows = read_table(mixed.store, "trials").table.to_pylist()
    assert len(rows) == 6
    return [row for row in rows if row["status"] == "finished"]


def test_a_scheduler_that_stops_a_trial_stops_its_worker_group_which_takes_the_next(plan_for: Callable) -> None:
    search = {"scheduler": "asha", "measure": "g_score_gradient", "mode": "max", "reduction_factor": 2}
    raw = raw_job(grid={"training.seed": list(range(3))}, search=search, resources=TWO)
    raw["training"] = {**raw["training"], "epochs": 8}
    plan, store = plan_for(raw)
    recorder, worker_groups = watching_worker_groups()
    outcome = run_sweep(plan, store, [recorder])
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (3, 0, False)
    stopped = {trial_id for trial_id, ended in read_ledger(store).items() if ended.status is Status.STOPPED}
    assert stopped
    assert len(stopped) < 3
    assert len(worker_groups) == 1

    # What was stopped has kept its last state, and goes on from it, here on one device.
    without, _ = plan_for({key: value for key, value in raw.items() if key not in ("search", "resources")})
    assert {cell.trial.id for cell in without.having(CellState.NEW)} == stopped
    run_sweep(without, store, [])
    rows = assert_exactly_once(store, plan.job.trials)
    assert {row["resumes"] for row in rows if row["trial_id"] in stopped} == {1}
