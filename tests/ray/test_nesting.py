"""The deadlock of a Tune trial around a trainer of Ray Train; ours, at the same work, is in test_worker_group.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray.nodes import PATIENCE_S

pytestmark = pytest.mark.faults


def test_the_usual_nesting_hangs_where_drivers_hold_what_their_workers_wait_for() -> None:
    command = [sys.executable, "-m", "tests.ray.nested"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    state = json.loads(said.splitlines()[-1])
    # Two drivers hold both processors; each waits for a worker's, which nobody will ever free.
    assert state["free_cpus"] == 0
    assert [request["CPU"] for request in state["asked_for"]] == [1, 1]
