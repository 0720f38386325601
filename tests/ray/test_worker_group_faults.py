"""Worker groups that lose a process: the trial goes on in another, from its checkpoint, unless it happens too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.runtime.sweep import run_sweep
from orchestrator.state.ledger import read_ledger
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import Recorder, raw_job
from tests.ray.processes import kill_process
from tests.ray.worker_groups import TWO, worker_group_processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.runtime.events import Event

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("ray_here")]


def test_a_trial_whose_worker_group_lost_a_process_goes_on_in_another_until_that_happens_too_often(
    plan_for: Callable,
) -> None:
    raw = raw_job(resources={**TWO, "max_retries": 1})
    raw["training"] = {**raw["training"], "epochs": 12}
    plan, store = plan_for(raw)
    lost: list[int] = []
    struck_at: list[int] = []

    def strike(event: Event) -> None:
        """Kill the last process of the first worker group, and the first of the second once it has stored more."""
        worker_group = worker_group_processes()
        if len(struck_at) == 2 or len(worker_group) < 2 or set(worker_group) & set(lost):
            return
        if event.ended is None and sum(struck_at) + 8 <= event.step < event.total_steps:
            lost.extend(worker_group)
            struck_at.append(event.step)
            kill_process(worker_group[len(struck_at) - 2])

    outcome = run_sweep(plan, store, [Recorder(strike)])
    assert (outcome.ended, outcome.failed) == (1, 1)
    assert len(struck_at) == 2
    (ended,) = read_ledger(store).values()
    assert ended.error_kind == "infrastructure"
    assert ended.error is not None
    assert ended.error.startswith("given up after 2 failures: ")
    assert "a process that trained the trial" in ended.error or "died" in ended.error

    # Not a row is lost or doubled: submitted again, here on one device, it goes on from what was kept.
    again, _ = plan_for(raw_job(training=raw["training"]))
    run_sweep(again, store, [])
    (row,) = assert_exactly_once(store, plan.job.trials)
    assert row["resumes"] == 2
