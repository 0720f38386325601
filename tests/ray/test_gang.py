"""Trials of several devices: the same numbers as on one, on a gang that stays warm and can be lost."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from orchestrator.data.batches import to_device
from orchestrator.plan.ledger import Status, read_ledger
from orchestrator.plan.plan import CellState
from orchestrator.runtime.sweep import run_sweep
from orchestrator.store.local import LocalStore
from orchestrator.training.session import Session
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import Recorder, raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.runtime.events import Event

pytestmark = pytest.mark.usefixtures("ray_here")

TWO = {"workers": 2}


def gang_processes() -> list[int]:
    """Process ids of the gang's workers on this Ray, which is a child of the test's process."""
    descendants = psutil.Process().children(recursive=True)
    return sorted(p.pid for p in descendants if p.status() != "zombie" and "RayTrainWorker" in " ".join(p.cmdline()))


def watching_gangs() -> tuple[Recorder, set[tuple[int, ...]]]:
    """A recorder, and the process ids of every gang that it has seen at work."""
    gangs: set[tuple[int, ...]] = set()
    return Recorder(lambda event: gangs.add(tuple(gang_processes())) if event.step else None), gangs


def test_two_processes_come_to_the_numbers_of_one_and_stay_for_the_next_trial(
    plan_for: Callable, tmp_path: Path
) -> None:
    grid = {"objective.kind": ["saturating", "least_squares"], "training.d_steps": [1, 2]}
    plan, store = plan_for(raw_job(grid=grid, resources=TWO))
    recorder, gangs = watching_gangs()
    outcome = run_sweep(plan, store, [recorder])
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (4, 0, False)
    assert recorder.ends() == dict.fromkeys((trial.id for trial in plan.job.trials), Status.FINISHED)
    rows = assert_exactly_once(store, plan.job.trials)
    assert {row["workers"] for row in rows} == {2}
    (gang,) = gangs
    assert len(gang) == 2

    trial = plan.job.trials[3]
    alone = LocalStore(tmp_path / "alone")
    session = Session(trial.id, trial.settings, to_device(trial.settings.data.load(), "cpu"), alone)
    while not session.progress.done:
        session.advance(60)
    row = next(row for row in rows if row["trial_id"] == trial.id)
    for name in ("d_loss", "g_loss", "d_real", "g_grad_norm", "g_score_gradient"):
        assert row[name] == pytest.approx(session.summary()[name], rel=1e-3)


def test_a_sweep_may_mix_trials_of_one_device_and_of_two(plan_for: Callable) -> None:
    grid = {"size": [{"training.batch_size": 8}, {"training.batch_size": 16, "resources.workers": 2}]}
    plan, store = plan_for(raw_job(grid=grid))
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed) == (2, 0)
    rows = assert_exactly_once(store, plan.job.trials)
    assert {row["training.batch_size"]: row["workers"] for row in rows} == {8: 1, 16: 2}


def test_a_scheduler_that_stops_a_trial_stops_its_gang_which_takes_the_next(plan_for: Callable) -> None:
    search = {"scheduler": "asha", "measure": "g_score_gradient", "mode": "max", "reduction_factor": 2}
    raw = raw_job(grid={"training.seed": list(range(5))}, search=search, resources=TWO)
    raw["training"] = {**raw["training"], "epochs": 8}
    plan, store = plan_for(raw)
    recorder, gangs = watching_gangs()
    outcome = run_sweep(plan, store, [recorder])
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (5, 0, False)
    stopped = {trial_id for trial_id, ended in read_ledger(store).items() if ended.status is Status.STOPPED}
    assert stopped
    assert len(stopped) < 5
    assert len(gangs) == 1

    # What was stopped has kept its last state, and goes on from it, here on one device.
    without, _ = plan_for({key: value for key, value in raw.items() if key not in ("search", "resources")})
    assert {cell.trial.id for cell in without.having(CellState.NEW)} == stopped
    run_sweep(without, store, [])
    rows = assert_exactly_once(store, plan.job.trials)
    assert {row["resumes"] for row in rows if row["trial_id"] in stopped} == {1}


def test_a_killed_process_of_a_gang_costs_no_row_and_the_trial_goes_on_from_its_checkpoint(plan_for: Callable) -> None:
    plan, store = plan_for(raw_job(grid={"training.seed": [0, 1]}, resources=TWO))
    killed: list[int] = []

    def kill_once(event: Event) -> None:
        if not killed and event.ended is None and 8 <= event.step < event.total_steps:
            killed.append(event.step)
            os.kill(gang_processes()[-1], signal.SIGKILL)

    outcome = run_sweep(plan, store, [Recorder(kill_once)])
    assert killed
    assert (outcome.ended, outcome.failed) == (2, 0)
    rows = assert_exactly_once(store, plan.job.trials)
    assert max(row["resumes"] for row in rows) == 1


def test_a_gang_lost_too_often_fails_its_trial_with_the_cause(plan_for: Callable) -> None:
    plan, store = plan_for(raw_job(resources={**TWO, "max_retries": 0}))

    def kill(event: Event) -> None:
        if event.ended is None and 0 < event.step < event.total_steps:
            os.kill(gang_processes()[0], signal.SIGKILL)

    outcome = run_sweep(plan, store, [Recorder(kill)])
    assert (outcome.ended, outcome.failed) == (1, 1)
    (ended,) = read_ledger(store).values()
    assert ended.error_kind == "infrastructure"
    assert ended.error is not None
    assert ended.error.startswith("given up after 1 failures: ")
    assert "a process that trained the trial" in ended.error or "died" in ended.error


def test_nan_fails_its_trial_and_the_gang_goes_on(plan_for: Callable) -> None:
    broken = {
        "training.g_optimizer.lr": 1.0,
        "training.g_optimizer.betas": [0.0, 0.0],
        "training.g_optimizer.eps": 1e-300,
    }
    grid = {"rates": [broken, {"training.g_optimizer.lr": 1e-4}]}
    plan, store = plan_for(raw_job(grid=grid, model={"kind": "dcgan", "latent_dim": 2, "width": 1}, resources=TWO))
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (2, 1, False)
    bad, good = (cell.trial.id for cell in plan.cells)
    ledger = read_ledger(store)
    assert ledger[good].status is Status.FINISHED
    assert (ledger[bad].status, ledger[bad].error_kind) == (Status.FAILED, "non_finite")
    assert ledger[bad].error is not None
    assert ledger[bad].error.startswith("loss is not finite at step ")


def test_a_damaged_checkpoint_fails_its_trial_in_one_line_and_the_next_gets_a_new_gang(plan_for: Callable) -> None:
    plan, store = plan_for(raw_job(grid={"training.seed": [0, 1]}, resources=TWO))
    bad, good = plan.job.trials
    store.write(f"checkpoints/{bad.id}.pt", b"not a checkpoint")
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed) == (2, 1)
    ledger = read_ledger(store)
    assert ledger[good.id].status is Status.FINISHED
    assert (ledger[bad.id].status, ledger[bad.id].error_kind) == (Status.FAILED, "program")
    assert ledger[bad.id].error is not None
    assert "delete it" in ledger[bad.id].error
