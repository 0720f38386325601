"""What is lost when processes, nodes, drivers and storage are: time, and nothing else."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.ray.conftest import raw_job
from tests.ray.drivers import Run
from tests.ray.nodes import Nodes, wait_until
from tests.ray.processes import is_alive, kill_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.faults

NODES = 3
TRAINING = {"batch_size": 8, "log_every": 10, "samples_every": 0}
EPOCHS = {1: 150, 2: 40}
"""By the number of workers: long enough for a fault to come in the middle."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    nodes = Nodes(NODES)
    yield nodes
    nodes.close()


@pytest.fixture
def run(tmp_path: Path, cluster: Nodes) -> Iterator[Callable[..., Run]]:
    """Starts a sweep of tiny trials; what is left of it when the test ends is killed."""
    cluster.refill(NODES)
    runs: list[Run] = []

    def start(workers: int, trials: int, retries: int) -> Run:
        resources = {"workers": workers, "max_retries": retries}
        training = {**TRAINING, "epochs": EPOCHS[workers]}
        raw = raw_job(grid={"training.seed": list(range(trials))}, training=training, resources=resources)
        runs.append(Run(tmp_path, cluster, {**raw, "storage": str(tmp_path / "results")}))
        return runs[-1]

    yield start
    for each in runs:
        each.driver.kill()
        each.driver.communicate()


@pytest.mark.parametrize(("workers", "strikes"), [(1, ["preemption", "process"]), (2, ["preemption", "node"])])
def test_neither_a_process_nor_a_node_nor_a_preemption_takes_a_trial_with_it(
    run: Callable[..., Run], cluster: Nodes, workers: int, strikes: list[str]
) -> None:
    # One trial suffers all of them. All but the preemption are failures, of which it may have no more.
    sweep = run(workers=workers, trials=1, retries=len(strikes) - 1)
    for strike in strikes:
        node, process = sweep.at_work()
        attempt = [pid for _, pid in cluster.training()]
        if strike == "preemption":
            cluster.drain(node, deadline_s=60)
        elif strike == "node":
            cluster.kill(node)
        else:
            kill_process(process)
        wait_until(lambda pids=attempt: not any(map(is_alive, pids)), f"the end of this attempt by its {strike}")
        cluster.refill(NODES)
    (row,) = sweep.rows()
    assert row["resumes"] == len(strikes)


def test_a_driver_that_is_killed_is_started_again_where_it_was(run: Callable[..., Run]) -> None:
    sweep = run(workers=2, trials=1, retries=0)
    sweep.at_work()
    os.kill(sweep.driver.pid, signal.SIGKILL)
    sweep.driver.communicate()
    wait_until(lambda: not sweep.nodes.training(), "the end of the dead driver's workers")
    sweep.start()
    assert max(row["resumes"] for row in sweep.rows()) >= 1
