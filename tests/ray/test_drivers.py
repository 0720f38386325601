"""Drivers that are interrupted or killed in the middle, and what the next submission makes of it."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from orchestrator.spec.job import make_job
from orchestrator.store.open import open_store
from tests.ray.checks import assert_exactly_once
from tests.ray.drivers import ORCH, orch
from tests.ray.nodes import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.faults


def start_and_wait_for_checkpoint(folder: Path, path: Path) -> subprocess.Popen[str]:
    """A running ``orch submit`` that has written at least one checkpoint."""
    process = subprocess.Popen([*ORCH, "submit", path.name], cwd=folder, stderr=subprocess.PIPE, text=True)
    checkpoints = folder / "results" / "tiny" / "checkpoints"
    deadline = time.monotonic() + 120
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


LONG = {"epochs": 150, "batch_size": 8, "log_every": 3, "samples_every": 50}


def assert_one_run_at_a_time(folder: Path, pid: int) -> None:
    """Whoever else begins a run is refused, and leaves what the first one wrote as it is; who looks is not."""
    os.kill(pid, signal.SIGSTOP)  # lest it be done before we are: its process exists all the same
    kept = {name: (folder / "results/tiny" / name).read_bytes() for name in ("job.yaml", "run.json", "run.log")}
    refused = orch(folder, "submit", "tiny.yaml", "--take-over")
    where = f"{folder}/results/tiny: another run of this job is at work on {platform.node()} (pid {pid}), 0 of 1"
    stop = f"orch cancel tiny --storage {folder}/results"
    line = f"error: {where} trials have ended; wait for it, or stop it: {stop}\n"
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", line)
    assert orch(folder, "status", "tiny").stdout.startswith("tiny: running; ")
    assert {name: (folder / "results/tiny" / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize(("how", "trials"), [(signal.SIGINT, 2), (signal.SIGKILL, 1)])
def test_interrupted_driver_loses_and_doubles_nothing(
    tmp_path: Path, job_file: Callable[..., Path], how: signal.Signals, trials: int
) -> None:
    path = job_file(grid={"training.seed": list(range(trials))}, training=LONG, resources={})
    process = start_and_wait_for_checkpoint(tmp_path, path)
    if how is signal.SIGKILL:
        assert_one_run_at_a_time(tmp_path, process.pid)
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=PATIENCE_S)
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; every trial keeps its last state, go on with: orch submit tiny.yaml" in said
        assert "Traceback" not in said
    assert not list((tmp_path / "results/tiny").glob("trials/*")), "ended before it was interrupted"

    again = orch(tmp_path, "submit" if how is signal.SIGKILL else "resume", path.name)
    assert again.returncode == 0, again.stderr
    note = f"note: the last run, on {platform.node()} (pid {process.pid}), ended without a word"
    assert (note in again.stderr) is (how is signal.SIGKILL)
    job = make_job(yaml.safe_load(path.read_text()), path.name)
    rows = assert_exactly_once(open_store(str(tmp_path / "results")).child("tiny"), job.trials)
    assert max(row["resumes"] for row in rows) >= 1
