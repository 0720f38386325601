"""The Slurm of the tests itself: nothing of it outlives the process that has started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.ray.processes import below, is_alive, named
from tests.slurm.cluster import why_not
from tests.slurm.conftest import wait_until

UP = """
import time
from tests.slurm.cluster import running_slurm
with running_slurm(2) as slurm:
    slurm.ask("sbatch", "--output=/dev/null", "--wrap=sleep 600")
    while "RUNNING" not in slurm.ask("squeue", "--noheader", "--format=%T"):
        time.sleep(0.1)
    print("up", flush=True)
    time.sleep(600)
"""

EXPECTED = ("munged", "slurmctld", "slurmd", "slurmstepd", "sleep 600")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_slurm_ends_with_the_process_that_started_it(how: signal.Signals) -> None:
    if reason := why_not():
        pytest.skip(reason)
    root = Path(__file__).parents[2]
    # Slurm's sockets have no room in pytest's own folders.
    with TemporaryDirectory(prefix="t-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        _start_and_end(how, {**os.environ, "PYTHONPATH": str(root), "TMPDIR": folder})


def _start_and_end(how: signal.Signals, environment: dict[str, str]) -> None:
    program = [sys.executable, "-c", UP]
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
            # One that has just been handed to another parent may be missing from a list of processes.
            wait_until(lambda: all(named(below(owner.pid), name) for name in EXPECTED), "daemons and a job's process")
            daemons = below(owner.pid)
            owner.send_signal(how)
            owner.wait()
            wait_until(lambda: not any(is_alive(daemon.pid) for daemon in daemons), "end of all daemons")
        finally:
            owner.kill()
