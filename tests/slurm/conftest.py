"""One real Slurm of two nodes for all tests of this folder, and the commands of its users."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from orchestrator.spec.job import load_job
from orchestrator.state.files import read_state
from orchestrator.store.open import open_store
from tests.ray.conftest import raw_job
from tests.slurm.cluster import Slurm, running_slurm, wait_until_idle, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store

ORCH = [sys.executable, "-m", "orchestrator.cli"]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever takes a Slurm is slow."""
    for item in items:
        if "/tests/slurm/" in str(item.path):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def running() -> Iterator[Slurm]:
    """A Slurm of two nodes of two processors."""
    if reason := why_not():
        pytest.skip(reason)
    with running_slurm(2) as slurm:
        yield slurm


@pytest.fixture
def slurm(running: Slurm) -> Iterator[Slurm]:
    """The Slurm with every node idle, before the test and after it."""
    yield running
    running.ask("scancel", "--full", "--signal=KILL", "--user=root")
    for node in running.nodes:
        if node not in running.daemons:
            running.bring_back(node)
    wait_until_idle(running)


@dataclass
class Study:
    """A job in a folder of its own, and the commands that are given there."""

    folder: Path
    slurm: Slurm
    scratch: Path
    """where its processes have temporary files"""
    commands: list[subprocess.Popen[str]]

    @property
    def store(self) -> Store:
        """The root of its results."""
        return open_store(str(self.folder / "results")).child("tiny")

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Its trials."""
        return load_job(self.folder / "job.yaml").trials

    def orch(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that runs; what is left of it ends with the test."""
        environment = {**self.slurm.environment, "PYTHONPATH": str(ROOT), "ORCH_SITE": "", "OMP_NUM_THREADS": "1"}
        environment["TMPDIR"] = str(self.scratch)
        command = subprocess.Popen(
            [*ORCH, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.commands.append(command)
        return command

    def submit(self, *options: str) -> str:
        """Hand the job over and leave it; returns its number."""
        out, err = self.orch("submit", "job.yaml", "--address", "slurm", "--detach", *options).communicate(timeout=60)
        assert out.strip().isdecimal(), err
        return out.strip()

    def output(self, number: str) -> str:
        """What the job has written so far."""
        path = self.folder / "results" / "_slurm" / f"{number}.out"
        return path.read_text() if path.exists() else ""

    def trains(self) -> bool:
        """Whether a run is at work, and a trial of it has made steps."""
        state = read_state(self.store)
        return state is not None and state.state == "running" and any(step for step, _ in state.running.values())


@pytest.fixture
def study(slurm: Slurm, tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Writes a job file into a folder of its own."""
    commands: list[subprocess.Popen[str]] = []
    # Ray's sockets lie below it, whose names the system allows few characters.
    scratch = Path(tempfile.mkdtemp(prefix="os-"))

    def write(name: str = "one", **changes: Any) -> Study:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "job.yaml").write_text(yaml.safe_dump(raw_job(**changes)))
        return Study(folder, slurm, scratch, commands)

    yield write
    for command in commands:
        command.kill()
        command.communicate()
    shutil.rmtree(scratch, ignore_errors=True)


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {patience_s:.0f} s"
        time.sleep(0.2)


def processes_of(number: str) -> list[str]:
    """The command lines of the processes that a job has on this machine."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_ID") == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return [line for line in found if str(os.getpid()) not in line]
