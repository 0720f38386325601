"""What the tasks of an allocation tell each other, and what Ray gets of a node: what Slurm has granted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import ClusterError
from orchestrator.runtime import slurm_node
from orchestrator.runtime.slurm_node import Signals, Tasks, granted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Those of a task, which the test's process takes meanwhile."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("variables", "cpus", "gpus", "gibibytes"),
    [
        ({"SLURM_CPUS_ON_NODE": "4"}, 4, 0, None),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_GPUS_ON_NODE": "2", "SLURM_MEM_PER_NODE": "10240"}, 4, 2, 10),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_CPU": "512"}, 4, 0, 2),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_NODE": "0"}, 4, 0, None),
    ],
)
def test_ray_gets_what_slurm_has_granted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], cpus: int, gpus: int, gibibytes: int | None
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = granted()
    assert (options["num-cpus"], options["num-gpus"]) == (cpus, gpus)
    if gibibytes is None:
        assert not {"memory", "object-store-memory"} & options.keys()
    else:
        assert 0 < options["object-store-memory"] <= 0.3 * gibibytes * 2**30
        assert options["memory"] + options["object-store-memory"] < gibibytes * 2**30


def test_what_is_told_is_whole_and_private(tmp_path: Path) -> None:
    first, second = Tasks(tmp_path, 0, 2), Tasks(tmp_path, 1, 2)
    first.tell("token", "secret")
    assert second.told() == {"token"}
    assert second.hear("token") == "secret"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_waiting_ends_with_a_failure_elsewhere_a_signal_or_in_time(
    tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = Tasks(tmp_path, 0, 3)
    tasks.tell("ready-1")
    slurm_node._wait(tasks, signals, {"ready-1"})
    monkeypatch.setattr(slurm_node, "_UP_S", 0.05)
    with pytest.raises(ClusterError, match=r"the nodes were not up in 0 s: ready-2 missing"):
        slurm_node._wait(tasks, signals, {"ready-1", "ready-2"})
    tasks.tell("failed", "error: node n2: no room")
    with pytest.raises(ClusterError, match="another node failed"):
        slurm_node._wait(tasks, signals, {"ready-2"})
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(slurm_node._StoppedError):
        slurm_node._wait(tasks, signals, {"ready-2"})


@pytest.mark.parametrize(
    ("restarts", "command", "added"),
    [("", ["submit"], []), ("2", ["submit"], ["--take-over"]), ("2", ["submit", "--take-over"], [])],
)
def test_after_a_requeue_the_run_takes_the_place_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, restarts: str, command: list[str], added: list[str]
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    assert slurm_node._again(command) == added


ORPHANS = """
import ctypes, subprocess, sys
from orchestrator.runtime import slurm_node
ctypes.CDLL(None).prctl(slurm_node._SUBREAPER, 1)
# A daemon in a session of its own, whose parent ends at once, as those of ``ray start`` do.
daemon = "import subprocess, sys; subprocess.Popen(['sleep', '600'], start_new_session=True)"
subprocess.run([sys.executable, "-c", daemon], check=True)
slurm_node._end()
print(subprocess.run(["ps", "--no-headers", "--ppid", str(__import__('os').getpid()), "-o", "args"],
      capture_output=True, text=True).stdout.count("sleep"))
"""


def test_processes_that_lost_their_parent_end_with_the_task() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert time.monotonic() - began < 60
