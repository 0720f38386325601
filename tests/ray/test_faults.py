"""What is lost when processes, nodes, drivers and storage are: time, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.spec.job import make_job
from orchestrator.store.open import open_store
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import raw_job
from tests.ray.nodes import Nodes, is_alive, kill_process, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store

pytestmark = pytest.mark.cluster

NODES = 3
TRAINING = {"batch_size": 8, "log_every": 10, "samples_every": 0}
EPOCHS = {1: 250, 2: 60}
"""By the number of workers: long enough for a fault to come in the middle."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    nodes = Nodes(NODES)
    yield nodes
    nodes.close()


class Run:
    """A sweep whose driver is a process of its own on the cluster."""

    def __init__(self, folder: Path, nodes: Nodes, raw: dict[str, Any]) -> None:
        (folder / "job.yaml").write_text(yaml.safe_dump(raw))
        self.folder, self.nodes = folder, nodes
        self.trials: tuple[Trial, ...] = make_job(raw, "job.yaml").trials
        self.store: Store = open_store(raw["storage"]).child(raw["name"])
        self.start()

    def start(self) -> None:
        """Submit the job, for the first time or again."""
        command = [sys.executable, "-m", "orchestrator.cli", "submit", "job.yaml", "--address", "auto"]
        environment = os.environ | {"RAY_ADDRESS": self.nodes.cluster.address}
        self.driver = subprocess.Popen(command, cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True)

    def at_work(self) -> tuple[Any, int]:
        """Wait until a process has begun to train and a checkpoint has come since; that process, and its node."""
        found = self._soon(self.nodes.training, "a process that trains")
        before = self._checkpoints()
        self._soon(lambda: self._checkpoints() != before, "a checkpoint")
        return found[-1]

    def _checkpoints(self) -> list[bytes]:
        return [self.store.read(key) for key in self.store.keys("checkpoints")]

    def _soon(self, true: Callable[[], Any], what: str) -> Any:
        answer = wait_until(lambda: true() or self.driver.poll() is not None, what)
        assert self.driver.poll() is None, self.driver.stderr.read() if self.driver.stderr else ""
        return answer

    def rows(self) -> list[dict[str, Any]]:
        """Wait for the end; the rows of trials/, each trial and each of its logged steps being there once."""
        _, said = self.driver.communicate(timeout=150)
        assert self.driver.returncode == 0, said
        assert "Traceback" not in said
        return assert_exactly_once(self.store, self.trials)


@pytest.fixture
def run(tmp_path: Path, cluster: Nodes) -> Iterator[Callable[..., Run]]:
    """Starts a sweep of tiny trials; what is left of it when the test ends is killed."""
    cluster.refill(NODES)
    runs: list[Run] = []

    def start(workers: int, trials: int, retries: int, storage: str = "") -> Run:
        resources = {"workers": workers, "max_retries": retries}
        training = {**TRAINING, "epochs": EPOCHS[workers]}
        raw = raw_job(grid={"training.seed": list(range(trials))}, training=training, resources=resources)
        runs.append(Run(tmp_path, cluster, {**raw, "storage": storage or str(tmp_path / "results")}))
        return runs[-1]

    yield start
    for each in runs:
        each.driver.kill()
        each.driver.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_neither_a_process_nor_a_node_nor_a_preemption_takes_a_trial_with_it(
    run: Callable[..., Run], cluster: Nodes, workers: int
) -> None:
    # One trial suffers all three. Two are failures, which it may have; a third would end it.
    sweep = run(workers=workers, trials=1, retries=2)
    for strike in ("preemption", "node", "process"):
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
    assert row["resumes"] == 3


def test_a_driver_that_is_killed_is_started_again_where_it_was(run: Callable[..., Run]) -> None:
    sweep = run(workers=2, trials=1, retries=0)
    sweep.at_work()
    os.kill(sweep.driver.pid, signal.SIGKILL)
    sweep.driver.communicate()
    wait_until(lambda: not sweep.nodes.training(), "the end of the dead driver's workers")
    sweep.start()
    assert max(row["resumes"] for row in sweep.rows()) >= 1


def test_storage_that_fails_for_twenty_seconds_fails_no_trial(tmp_path: Path, s3_proxy: Any, s3_bucket: str) -> None:
    outage: list[float] = []

    def fail(method: str, path: str, headers: Any) -> tuple[int, str] | None:
        if not outage or time.monotonic() > outage[0] + 20:
            return None
        return [(503, "SlowDown"), (500, "InternalError")][len(s3_proxy.seen) % 2]

    s3_proxy.answer = fail
    raw = raw_job(grid={"training.seed": [0, 1]}, training={**TRAINING, "epochs": 100}, resources={"max_retries": 0})
    raw["storage"] = f"s3://{s3_bucket}/studies"
    nodes = Nodes(1)
    try:
        sweep = Run(tmp_path, nodes, raw)
        sweep.at_work()
        outage.append(time.monotonic())
        rows = sweep.rows()
    finally:
        nodes.close()
    assert time.monotonic() > outage[0] + 20
    assert {row["resumes"] for row in rows} == {0}
