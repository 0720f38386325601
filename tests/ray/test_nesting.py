"""The deadlock that a Tune trial around a TorchTrainer runs into, and a sweep of the same size that does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.runtime.sweep import run_sweep
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster


def test_the_usual_nesting_hangs_where_drivers_hold_what_their_workers_wait_for() -> None:
    command = [sys.executable, "-m", "tests.ray.nested"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=200)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    state = json.loads(said.splitlines()[-1])
    # Two drivers hold both processors; each waits for a worker's, which nobody will ever free.
    assert state["free_cpus"] == 0
    assert [request["CPU"] for request in state["asked_for"]] == [1, 1]


@pytest.mark.usefixtures("ray_here")
def test_as_many_gangs_as_trials_that_want_every_processor_take_turns(plan_for: Callable) -> None:
    plan, store = plan_for(raw_job(grid={"training.seed": [0, 1]}, resources={"workers": 2}))
    assert plan.placements[2].concurrent == 1
    outcome = run_sweep(plan, store, [])
    assert (outcome.ended, outcome.failed, outcome.interrupted) == (2, 0, False)
    assert_exactly_once(store, plan.job.trials)
