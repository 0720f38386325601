"""The Slurm of the tests itself: nothing of it outlives the process that has started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_slurm_ends_with_the_process_that_started_it(how: signal.Signals, tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)}
    owner = subprocess.Popen([sys.executable, "-c", UP], env=environment, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    wait_until(lambda: named(below(owner.pid), "sleep 600"), "process of a job")
    daemons = below(owner.pid)
    for name in ("munged", "slurmctld", "slurmd", "slurmstepd"):
        assert named(daemons, name), name
    owner.send_signal(how)
    owner.communicate()
    wait_until(lambda: not any(is_alive(daemon.pid) for daemon in daemons), "end of all daemons")
