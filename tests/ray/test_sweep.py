"""Sweeps on a Ray of their own: everything runs, once, and comes to the numbers of a plain session."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest
import torch

from orchestrator.data.batches import to_device
from orchestrator.errors import StorageUnavailable
from orchestrator.plan.placement import Cluster, Machine, place
from orchestrator.plan.plan import CellState, Plan, make_plan
from orchestrator.runtime.sweep import Outcome, run_sweep
from orchestrator.spec.job import Resources
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.store.local import LocalStore
from orchestrator.store.retrying import RetryingStore
from orchestrator.training.session import Session
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import HERE, Recorder, kill, planner, raw_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.runtime.events import Event
    from orchestrator.store.location import Store

pytestmark = pytest.mark.usefixtures("ray_here")

GRID = {"objective.kind": ["non_saturating", "least_squares"], "training.d_steps": [1, 2]}
TINIEST = {"kind": "dcgan", "latent_dim": 2, "width": 1}
BROKEN = {
    "training.g_optimizer.lr": 1.0,
    "training.g_optimizer.betas": [0.0, 0.0],
    # Single precision cannot hold it: it divides by zero at the first weight without a gradient.
    "training.g_optimizer.eps": 1e-300,
}


class Swept(NamedTuple):
    """A sweep that has ended, and where its results lie."""

    folder: Path
    plan: Plan
    store: Store
    recorder: Recorder
    outcome: Outcome


@pytest.fixture(scope="module")
def swept(ray_here: None, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Of a grid whose trials all do well."""
    folder = tmp_path_factory.mktemp("swept")
    plan, store = planner(folder)(raw_job(grid=GRID, resources={}))
    recorder = Recorder()
    return Swept(folder, plan, store, recorder, run_sweep(plan, store, [recorder]))


def test_sweep_runs_every_cell_once_with_the_numbers_of_a_plain_session(swept: Swept, tmp_path: Path) -> None:
    _, plan, store, recorder, outcome = swept
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (4, 0, False)
    assert recorder.ends() == dict.fromkeys((trial.id for trial in plan.job.trials), Status.FINISHED)
    rows = assert_exactly_once(store, plan.job.trials)

    trial = plan.job.trials[3]
    alone = LocalStore(tmp_path / "alone")
    session = Session(trial.id, trial.settings, to_device(trial.settings.data.load(), "cpu"), alone)
    while not session.progress.done:
        session.advance(60)
    row = next(row for row in rows if row["trial_id"] == trial.id)
    for name in ("d_loss", "g_loss", "d_real", "g_grad_norm"):
        assert row[name] == pytest.approx(session.summary()[name], rel=1e-4)
    grids = [key for key in store.keys("samples") if trial.id in key]
    assert [key.rpartition("/")[2] for key in grids] == ["epoch-0002.png", "epoch-0004.png"]


class Flaky(LocalStore):
    """A store whose first metrics writes fail as a server does that is down; counted in a file for all processes."""

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Fail twice, then write."""
        counter = Path(self.uri) / ".failures"
        failures = int(counter.read_text()) if counter.exists() else 0
        if key.startswith("metrics/") and failures < 2:
            counter.write_text(str(failures + 1))
            raise StorageUnavailable("storage is down")
        return super().write(key, data, replace=replace)


def test_wider_grid_runs_only_new_cells_and_storage_that_is_down_for_a_while_costs_nothing_but_time(
    swept: Swept, plan_for: Callable, tmp_path: Path
) -> None:
    shutil.copytree(swept.folder / "results", tmp_path / "results")
    wider, store = plan_for(raw_job(grid={"training.d_steps": [1, 2, 3]}))
    before = {key: store.read(key) for key in store.keys("trials")}
    assert len(before) == 4
    assert [cell.state for cell in wider.cells] == [CellState.CACHED, CellState.CACHED, CellState.NEW]
    recorder = Recorder()
    run_sweep(wider, RetryingStore(Flaky(Path(store.uri))), [recorder])
    assert (tmp_path / "results" / "tiny" / ".failures").read_text() == "2"
    assert recorder.ends() == {wider.cells[2].trial.id: Status.FINISHED}
    assert {key: store.read(key) for key in before} == before
    assert_exactly_once(store, [*swept.plan.job.trials, wider.cells[2].trial])

    # pandas reads the folder
    frame = pd.read_parquet(tmp_path / "results" / "tiny" / "trials")
    assert sorted(frame["training.d_steps"]) == [1, 1, 2, 2, 3]
    assert len(pd.read_parquet(tmp_path / "results" / "tiny" / "metrics")) == 5 * 11


@pytest.fixture(scope="module")
def ailing(ray_here: None, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Of a trial that comes to a NaN, one whose checkpoint is damaged, and one that nothing ails."""
    folder = tmp_path_factory.mktemp("ailing")
    cases = [BROKEN, {"training.seed": 1}, {"training.g_optimizer.lr": 1e-4}]
    plan, store = planner(folder)(raw_job(grid={"case": cases}, model=TINIEST))
    store.write(f"checkpoints/{plan.job.trials[1].id}.pt", b"not a checkpoint")
    recorder = Recorder()
    return Swept(folder, plan, store, recorder, run_sweep(plan, store, [recorder]))


def test_nan_fails_its_trial_with_the_step_is_not_retried_and_the_others_go_on(ailing: Swept) -> None:
    assert (ailing.outcome.ended, ailing.outcome.failed, ailing.outcome.interrupted) == (3, 2, False)
    bad, _, good = (trial.id for trial in ailing.plan.job.trials)
    ledger = read_ledger(ailing.store)
    assert ledger[good].status is Status.FINISHED
    assert ledger[bad].status is Status.FAILED
    assert ledger[bad].error_kind == "non_finite"
    assert ledger[bad].error is not None
    assert ledger[bad].error.startswith("loss is not finite at step ")
    events = ailing.recorder.events
    starts = [event for event in events if event.trial.id == bad and event.step == 0 and event.ended is None]
    assert len(starts) == 1

    again = make_plan(ailing.plan.job, ledger, (), HERE, ailing.store.uri)
    assert [cell.state for cell in again.cells] == [CellState.FAILED, CellState.FAILED, CellState.CACHED]


def test_damaged_checkpoint_fails_its_trial_in_one_line(ailing: Swept) -> None:
    error = read_ledger(ailing.store)[ailing.plan.job.trials[1].id].error
    assert error is not None
    assert "damaged" in error
    assert "delete it" in error
    assert "\n" not in error


def test_a_killed_workers_trial_goes_on_from_its_checkpoint_until_it_was_lost_too_often(plan_for: Callable) -> None:
    raw = raw_job(grid={"training.seed": [0, 1]}, resources={"max_retries": 1})
    plan, store = plan_for(raw)
    victim, other = (trial.id for trial in plan.job.trials)
    killed: list[int] = []

    def strike(event: Event) -> None:
        """The victim's worker always, the other's once."""
        if event.ended is not None or event.step >= event.total_steps:
            return
        if event.trial.id == victim and event.step > 0:
            kill(event)
        elif event.trial.id == other and event.step >= 8 and not killed:
            killed.append(event.step)
            kill(event)

    outcome = run_sweep(plan, store, [Recorder(strike)])
    assert killed
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (2, 1, False)
    ended = read_ledger(store)
    assert ended[other].status is Status.FINISHED
    assert (ended[victim].status, ended[victim].error_kind) == (Status.FAILED, "infrastructure")
    error = ended[victim].error
    assert error == "given up after 2 failures: its worker process died (killed, out of memory, or crashed)"

    # submitted again, what infrastructure failed is new
    again, _ = plan_for(raw)
    assert [cell.state for cell in again.cells] == [CellState.NEW, CellState.CACHED]
    run_sweep(again, store, [])
    rows = {row["trial_id"]: row for row in assert_exactly_once(store, plan.job.trials)}
    assert rows[other]["resumes"] == 1


def most_at_once(events: list[Event]) -> int:
    """The largest number of trials that had begun and not yet ended."""
    running: set[str] = set()
    most = 0
    for event in events:
        (running.discard if event.ended else running.add)(event.trial.id)
        most = max(most, len(running))
    return most


def test_as_many_trials_at_once_as_there_are_processors_for(swept: Swept, ailing: Swept) -> None:
    assert swept.plan.placements[1].concurrent == 2
    assert most_at_once(swept.recorder.events) == 2
    assert ailing.plan.placements[1].concurrent == 1  # of two processors each
    assert most_at_once(ailing.recorder.events) == 1


def test_asha_stops_the_worse_of_the_trials_that_share_a_gpu_and_their_last_state_is_kept(plan_for: Callable) -> None:
    search = {"scheduler": "asha", "measure": "g_score_gradient", "mode": "max", "reduction_factor": 2}
    raw = raw_job(grid={"training.seed": list(range(6))}, search=search, resources={})
    raw["training"] = {**raw["training"], "epochs": 8}
    plan, store = plan_for(raw)
    # The GPU is pretended: Ray counts it out, the trials train on the CPU.
    fitting = place(Resources(gpus_per_worker=0.5), 1, Cluster((Machine(cpus=2, gpus=1),)))
    assert fitting.concurrent == 2
    recorder = Recorder()
    outcome = run_sweep(replace(plan, placements={1: replace(fitting, device="cpu")}), store, [recorder])
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (6, 0, False)
    assert most_at_once(recorder.events) == 2
    ledger = read_ledger(store)
    stopped = [trial_id for trial_id, ended in ledger.items() if ended.status is Status.STOPPED]
    assert stopped
    assert len(stopped) < 6
    for trial_id in stopped:
        state = torch.load(io.BytesIO(store.read(f"checkpoints/{trial_id}.pt")), weights_only=True)
        assert 0 < state["progress"]["step"] < 64

    without, _ = plan_for(raw_job(grid=raw["grid"], training=raw["training"]))
    assert {cell.trial.id for cell in without.having(CellState.NEW)} == set(stopped)
    run_sweep(without, store, [])
    assert_exactly_once(store, plan.job.trials)
