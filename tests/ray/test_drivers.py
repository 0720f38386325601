"""Drivers that are interrupted or killed in the middle, and what the next submission makes of it."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from orchestrator.spec.job import make_job
from orchestrator.state.files import read_state
from orchestrator.store.open import open_store
from orchestrator.store.tables import read_table
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import STARTED
from tests.ray.drivers import ORCH, orch
from tests.ray.nodes import PATIENCE_S, wait_until
from tests.ray.processes import below, is_alive, signal_each
from tests.ray.worker_groups import TWO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults

LONG = {"epochs": 150, "batch_size": 8, "log_every": 3, "samples_every": 50}
STRANGERS = ("torch.py", "random.py", "yaml.py", "pyarrow/__init__.py", "ray/__init__.py", "numpy/__init__.py")
"""Modules in the folder of the command that take the place of ours where Python finds them first."""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """An empty folder for temporary files whose path leaves room for sockets; a run leaves nothing in it."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    yield folder
    left = sorted(folder.iterdir())
    shutil.rmtree(folder)
    assert not left


def start_and_wait_for_checkpoint(folder: Path, path: Path, **environment: str) -> subprocess.Popen[str]:
    """A running ``orch submit`` that has written at least one checkpoint."""
    process = subprocess.Popen(
        [*ORCH, "submit", path.name],
        cwd=folder,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    checkpoints = folder / "results" / "tiny" / "checkpoints"
    deadline = time.monotonic() + PATIENCE_S
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def add_strangers(folder: Path) -> None:
    """Put modules into a folder that end every process which imports them."""
    for name in STRANGERS:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit(f'a stranger was imported: {__file__}')")


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


@pytest.mark.parametrize(
    ("how", "code", "trials", "resources"),
    [
        (signal.SIGINT, 130, 2, {}),
        (signal.SIGTERM, 143, 1, TWO),
    ],
)
def test_a_signal_to_every_process_of_a_run_loses_nothing(
    tmp_path: Path,
    temporary: Path,
    job_file: Callable[..., Path],
    how: signal.Signals,
    code: int,
    trials: int,
    resources: dict[str, Any],
) -> None:
    """As a terminal, Slurm, systemd and ``docker stop`` send it, in a folder with modules of the user's own.

    SIGHUP goes the way of SIGTERM, as tests/runtime/test_interrupt.py holds.
    """
    path = job_file(grid={"training.seed": list(range(trials))}, training=LONG, resources=resources)
    add_strangers(tmp_path)
    process = start_and_wait_for_checkpoint(tmp_path, path, TMPDIR=str(temporary))
    driver = psutil.Process(process.pid)
    everything = [*below(process.pid), driver]
    assert len(everything) > 5
    signal_each(everything, how)
    if how is signal.SIGINT:
        time.sleep(0.3)
        driver.send_signal(how)  # while trials store their state
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, said
    assert f"interrupted; every trial keeps its last state, go on with: orch submit {path.name}" in said
    assert "Traceback" not in said
    wait_until(lambda: not any(is_alive(one.pid) for one in everything), "the end of every process")

    store = open_store(str(tmp_path / "results")).child("tiny")
    state = read_state(store)
    assert state is not None
    assert state.state == "interrupted"
    assert not store.keys("trials"), "ended before it was interrupted"
    assert read_table(store, "metrics").table.num_rows
    if how is signal.SIGINT:
        assert_goes_on(tmp_path, path, "resume")


def test_a_killed_driver_loses_and_doubles_nothing(tmp_path: Path, job_file: Callable[..., Path]) -> None:
    path = job_file(training=LONG, resources={})
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        process = start_and_wait_for_checkpoint(tmp_path, path, TMPDIR=folder)
        assert_one_run_at_a_time(tmp_path, process.pid)
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    again = assert_goes_on(tmp_path, path, "submit")
    assert f"note: the last run, on {platform.node()} (pid {process.pid}), ended without a word" in again


def assert_goes_on(folder: Path, path: Path, verb: str) -> str:
    """The next run brings every trial to its end, from where it was; what it says on stderr."""
    again = orch(folder, verb, path.name)
    assert again.returncode == 0, again.stderr
    job = make_job(yaml.safe_load(path.read_text()), path.name)
    rows = assert_exactly_once(open_store(str(folder / "results")).child("tiny"), job.trials)
    assert max(row["resumes"] for row in rows) >= 1
    return again.stderr
