"""Disks, and Ray's own processes, that fail a run: why is said, no trial has failed, the next submission goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import StorageUnavailable, SurroundingsError
from orchestrator.runtime.sweep import run_sweep
from orchestrator.state.files import read_state
from orchestrator.state.lease import last_entry
from orchestrator.state.log import read_log
from orchestrator.store.local import LocalStore
from orchestrator.store.open import open_store
from orchestrator.store.retrying import RetryingStore
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import Recorder, raw_job
from tests.ray.nodes import PATIENCE_S, wait_until
from tests.ray.processes import below, is_alive, named, signal_each
from tests.ray.test_drivers import assert_goes_on, start_and_wait_for_checkpoint
from tests.ray.worker_groups import TWO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

pytestmark = pytest.mark.faults

LONG = {"epochs": 150, "batch_size": 8, "log_every": 10, "samples_every": 0}
CAUSES = {
    "gcs_server": "Ray's head (gcs_server, pid {}) was ended by SIGKILL",
    "raylet/raylet": "Ray's node manager (raylet, pid {}) was ended by SIGKILL",
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB of its own, where results go."""
    folder = tmp_path / "results"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "orch-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on the disk; the file that takes it."""
    path = disk / "full"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def test_a_full_disk_is_waited_for_and_one_that_nobody_may_write_ends_the_run_but_no_trial(
    tmp_path: Path, disk: Path, job_file: Callable[..., Path]
) -> None:
    path = job_file(training=LONG, grid={"training.seed": [0, 1]}, resources={})
    process = start_and_wait_for_checkpoint(tmp_path, path)
    store = open_store(str(disk)).child("tiny")
    full = fill(disk)
    assert process.stderr is not None
    told = next(line for line in process.stderr if line.startswith("waiting for storage"))
    assert "cannot write: the disk is full; free some space" in told
    assert f"{disk}/tiny/" in told
    full.unlink()
    before = [store.read(key) for key in store.keys("checkpoints")]
    wait_until(lambda: [store.read(key) for key in store.keys("checkpoints")] != before, "a checkpoint")
    assert not store.keys("trials"), "ended too soon for this test"

    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, said
    (error,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert "cannot write: the file system is read-only; mount it for writing" in error
    assert error.endswith("; every trial keeps its last state, go on with: orch submit tiny.yaml")
    assert "waiting for storage" not in said
    assert "Traceback" not in said
    assert not store.keys("trials")

    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert_goes_on(tmp_path, path, "submit")


class Full(LocalStore):
    """A store that is full, from the second checkpoint on, until a file says otherwise."""

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store."""
        freed = self.exists("freed")
        if not freed and key.startswith("checkpoints/") and self.exists(key):
            raise StorageUnavailable(f"{self.uri}/{key}: cannot write: the disk is full; free some space")
        return super().write(key, data, replace=replace)


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("resources", [{}, TWO], ids=["alone", "worker group"])
def test_storage_that_stays_full_ends_the_sweep_without_a_row(plan_for: Callable, resources: dict[str, Any]) -> None:
    raw = raw_job(grid={"training.seed": list(range(3))}, resources=resources)
    plan, store = plan_for(raw)
    full = Full(Path(store.uri))
    recorder = Recorder()
    with pytest.raises(SurroundingsError, match=r"checkpoints/.*: cannot write: the disk is full"):
        run_sweep(plan, RetryingStore(full, patience_s=3), [recorder])
    assert store.keys("trials") == []
    begun = len(store.keys("checkpoints"))
    assert 1 <= begun <= plan.placements[plan.job.trials[0].workers].concurrent
    full.write("freed", b"")
    run_sweep(plan_for({**raw, "resources": {}})[0], full, [])  # on one device each, which start sooner
    rows = assert_exactly_once(store, plan.job.trials)
    assert sum(row["resumes"] for row in rows) == begun


def workers_at_trials(driver: int) -> list[psutil.Process]:
    """The processes below a driver that train a trial just now."""
    return named(below(driver), "ResourceTrainable")


@pytest.mark.parametrize("name", list(CAUSES))
def test_the_death_of_ray_itself_is_told_within_seconds_and_leaves_nothing(
    tmp_path: Path, job_file: Callable[..., Path], name: str
) -> None:
    path = job_file(training=LONG, grid={"training.seed": [0, 1]}, resources={})
    process = start_and_wait_for_checkpoint(tmp_path, path)
    store = open_store(str(tmp_path / "results")).child("tiny")
    everything = below(process.pid)
    if name == "gcs_server":
        # Ray names a worker by what it does at the moment, which may be nothing of a trial for a while.
        signal_each(wait_until(lambda: workers_at_trials(process.pid), "a worker at a trial")[:1], signal.SIGKILL)
        told = "goes on from its last checkpoint: its worker process died (killed, out of memory, or crashed)"
        wait_until(lambda: any(told in line for line in read_log(store).lines), "word of the worker", 60)
    (victim, *_) = named(everything, name, parts=1)
    began = time.monotonic()
    victim.send_signal(signal.SIGKILL)
    cause = CAUSES[name].format(victim.pid)
    wait_until(lambda: any(cause in line for line in read_log(store).lines), "the cause", 15)
    wait_until(lambda: (state := read_state(store)) and state.state == "failed", "the state", 15)
    assert time.monotonic() - began < 15
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"{cause}; each trial goes on from its last checkpoint with: orch submit tiny.yaml" in said
    entry = last_entry(store)
    assert entry is not None
    assert entry.holder is not None
    assert entry.holder.released
    wait_until(lambda: not any(is_alive(one.pid) for one in everything), "the end of every process", 30)
    if name == "gcs_server":
        assert_goes_on(tmp_path, path, "submit")
