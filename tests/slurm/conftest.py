"""One real Slurm of two nodes for all tests of this folder, and the commands of its users."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from orchestrator.spec.job import load_job
from orchestrator.store.open import open_store
from orchestrator.store.tables import read_table
from tests.ray.checks import logged_steps
from tests.ray.conftest import raw_job
from tests.slurm.cluster import Slurm, running_slurm, wait_until_idle, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600.0
_STRANGER = "daemon"
"""Every system has this user, who may do nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever takes a Slurm is slow."""
    for item in items:
        if "/tests/slurm/" in str(item.path):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.timeout(6 * PATIENCE_S))


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
    for user in ("root", _STRANGER):
        running.ask("scancel", "--full", "--signal=KILL", f"--user={user}")
    for node in running.nodes:
        if node not in running.daemons:
            running.bring_back(node)
    wait_until_idle(running)


@dataclass(frozen=True)
class User:
    """A user of this machine, with a Python that it can read, and where that finds modules."""

    name: str
    python: str = sys.executable
    modules: str = str(ROOT)

    def run(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command as this user."""
        entry = pwd.getpwnam(self.name)
        who: dict[str, Any] = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []} if entry.pw_uid else {}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes, **who, **options)


@pytest.fixture(scope="session")
def stranger() -> User | None:
    """Another user than the one who runs the tests; None where that cannot read the checkout or any such Python."""
    site = f"{ROOT}:{sysconfig.get_path('purelib')}"
    system = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    for user in (User(_STRANGER), *([User(_STRANGER, system, site)] if system else [])):
        environment = {**os.environ, "PYTHONPATH": user.modules}
        try:
            trial = user.run([user.python, "-P", "-c", "import orchestrator.spec.job, ray"], env=environment, cwd="/")
        except PermissionError:
            continue
        trial.communicate(timeout=PATIENCE_S)
        if trial.returncode == 0:
            return user
    return None


@dataclass
class Study:
    """A job in a folder of its own, and the commands that its user gives there."""

    folder: Path
    user: User
    storage: str
    slurm: Slurm
    commands: list[subprocess.Popen[str]]

    @property
    def scratch(self) -> Path:
        """Where its processes have temporary files."""
        return self.folder / "t"

    @property
    def store(self) -> Store:
        """The root of its results."""
        return open_store(self.storage).child("tiny")

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Its trials."""
        return load_job(self.folder / "job.yaml").trials

    @property
    def shared(self) -> Path:
        """The folder in which the nodes tell each other what they have to, and Slurm writes what they print."""
        return self.folder / (".orch/slurm" if self.storage.startswith("s3:") else "results/_slurm")

    def orch(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that runs; what is left of it ends with the test."""
        own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        own |= {"PYTHONPATH": self.user.modules, "TMPDIR": str(self.scratch), "HOME": str(self.folder)}
        own |= {"USER": self.user.name, "LOGNAME": self.user.name, "ORCH_SITE": "", "OMP_NUM_THREADS": "1"}
        command = [self.user.python, "-P", "-m", "orchestrator.cli", *arguments]
        self.commands.append(self.user.run(command, cwd=self.folder, env={**self.slurm.environment, **own}))
        return self.commands[-1]

    def submit(self, *options: str) -> str:
        """Hand the job over and leave it; returns its number."""
        run = self.orch("submit", "job.yaml", "--address", "slurm", "--detach", *options)
        out, err = run.communicate(timeout=PATIENCE_S)
        assert out.strip().isdecimal(), err
        return out.strip()

    def number(self) -> str:
        """The number of its job in the queue, once it is there."""
        wait_until(self._queued, "job in the queue")
        return self._queued()

    def output(self, number: str) -> str:
        """What the job has written so far."""
        path = self.shared / f"{number}.out"
        return path.read_text() if path.exists() else ""

    def rows(self) -> int:
        """How many rows of metrics are stored; each trial's are those of its first logged steps, each of them once."""
        if not self.store.keys("metrics"):
            return 0
        rows = read_table(self.store, "metrics").table.select(["trial_id", "step"]).to_pylist()
        for trial in self.trials:
            steps = sorted(row["step"] for row in rows if row["trial_id"] == trial.id)
            assert steps == logged_steps(trial)[: len(steps)]
        return len(rows)

    def await_more_than(self, rows: int) -> None:
        """Wait until an attempt has stored more rows than these."""
        wait_until(lambda: self.rows() > rows or not self._queued(), f"more than {rows} rows")
        assert self.rows() > rows, [path.read_text() for path in self.shared.glob("*.out")]

    def _queued(self) -> str:
        return self.slurm.ask("squeue", "--noheader", f"--user={self.user.name}", "--format=%i")


@pytest.fixture
def study(slurm: Slurm) -> Iterator[Callable[..., Study]]:
    """Writes a job file into a folder of its user's own, which others can enter."""
    commands: list[subprocess.Popen[str]] = []
    # Ray's sockets lie below it, whose names the system allows few characters.
    here = Path(tempfile.mkdtemp(prefix="os-"))
    here.chmod(0o755)

    def write(name: str = "1", *, user: User | None = None, storage: str = "", **changes: Any) -> Study:
        study = Study(here / name, user or User("root"), storage or str(here / name / "results"), slurm, commands)
        study.scratch.mkdir(parents=True)
        (study.folder / "job.yaml").write_text(yaml.safe_dump(raw_job(storage=study.storage, **changes)))
        for path in (study.folder, study.scratch):
            shutil.chown(path, study.user.name)
        return study

    yield write
    for command in commands:
        command.kill()
        command.communicate()
    shutil.rmtree(here, ignore_errors=True)


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
