"""Drivers as processes of their own: whole commands as a user types them, and sweeps on a cluster of several nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.spec.job import make_job
from orchestrator.store.open import open_store
from tests.ray.checks import assert_exactly_once
from tests.ray.nodes import PATIENCE_S, Nodes, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store

ORCH = [sys.executable, "-m", "orchestrator.cli"]


def orch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a traceback in its output fails the test."""
    done = subprocess.run(
        [*ORCH, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


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
        found = self.soon(self.nodes.training, "a process that trains")
        before = self._checkpoints()
        self.soon(lambda: self._checkpoints() != before, "a checkpoint")
        return found[-1]

    def _checkpoints(self) -> list[bytes]:
        return [self.store.read(key) for key in self.store.keys("checkpoints")]

    def soon(self, true: Callable[[], Any], what: str) -> Any:
        """The first true answer, which must come before the driver ends."""
        answer = wait_until(lambda: true() or self.driver.poll() is not None, what)
        assert self.driver.poll() is None, self.driver.stderr.read() if self.driver.stderr else ""
        return answer

    def rows(self) -> list[dict[str, Any]]:
        """Wait for the end; the rows of trials/, each trial and each of its logged steps being there once."""
        _, said = self.driver.communicate(timeout=PATIENCE_S)
        assert self.driver.returncode == 0, said
        assert "Traceback" not in said
        return assert_exactly_once(self.store, self.trials)
