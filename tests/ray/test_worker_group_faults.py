"""Worker groups that lose a process: the trial goes on in another, from its checkpoint, unless it happens too often."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from orchestrator.runtime.sweep import run_sweep
from orchestrator.state.ledger import read_ledger
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import Recorder, raw_job
from tests.ray.worker_groups import TWO, worker_group_processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.runtime.events import Event

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("ray_here")]


def test_a_killed_process_of_a_worker_group_costs_no_row_and_the_trial_goes_on_from_its_checkpoint(
    plan_for: Callable,
) -> None:
    plan, store = plan_for(raw_job(grid={"training.seed": [0, 1]}, resources=TWO))
    killed: list[int] = []

    def kill_once(event: Event) -> None:
        if not killed and event.ended is None and 8 <= event.step < event.total_steps:
            killed.append(event.step)
            os.kill(worker_group_processes()[-1], signal.SIGKILL)

    outcome = run_sweep(plan, store, [Recorder(kill_once)])
    assert killed
    assert (outcome.ended, outcome.failed) == (2, 0)
    rows = assert_exactly_once(store, plan.job.trials)
    assert max(row["resumes"] for row in rows) == 1


def test_a_worker_group_lost_too_often_fails_its_trial_with_the_cause(plan_for: Callable) -> None:
    plan, store = plan_for(raw_job(resources={**TWO, "max_retries": 0}))

    def kill(event: Event) -> None:
        if event.ended is None and 0 < event.step < event.total_steps:
            os.kill(worker_group_processes()[0], signal.SIGKILL)

    outcome = run_sweep(plan, store, [Recorder(kill)])
    assert (outcome.ended, outcome.failed) == (1, 1)
    (ended,) = read_ledger(store).values()
    assert ended.error_kind == "infrastructure"
    assert ended.error is not None
    assert ended.error.startswith("given up after 1 failures: ")
    assert "a process that trained the trial" in ended.error or "died" in ended.error
