"""Storage that answers nothing useful for a while: waited for by every trial, but not by the end of a run."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.state.log import read_log
from tests.ray.conftest import raw_job
from tests.ray.drivers import Run
from tests.ray.nodes import PATIENCE_S, Nodes
from tests.s3 import OUTAGE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

TRAINING = {"batch_size": 8, "epochs": 300, "log_every": 10, "samples_every": 0}


def test_storage_that_fails_for_twenty_seconds_fails_no_trial_and_holds_up_no_end(
    tmp_path: Path, s3_proxy: Any, s3_bucket: str
) -> None:
    """After the outage comes one without an end, in which the run is interrupted: another goes on when it is over."""
    until = [0.0]
    s3_proxy.answer = lambda *_: OUTAGE[len(s3_proxy.seen) % 3] if time.monotonic() < until[0] else None
    raw = raw_job(grid={"training.seed": [0, 1]}, training=TRAINING, resources={"max_retries": 0})
    raw["storage"] = f"s3://{s3_bucket}/studies"
    nodes = Nodes(1)
    try:
        sweep = Run(tmp_path, nodes, raw)
        sweep.at_work()
        until[0] = time.monotonic() + 20
        sweep.soon(lambda: time.monotonic() > until[0], "the end of the outage")
        sweep.at_work()
        assert not [line for line in read_log(sweep.store).lines if " failed  " in line or " given up " in line]

        until[0] = float("inf")
        sweep.driver.send_signal(signal.SIGINT)
        _, said = sweep.driver.communicate(timeout=PATIENCE_S)  # less than the five minutes of a run's patience
        assert sweep.driver.returncode == 130
        assert "interrupted; the last states could not be stored, go on from what was: orch submit job.yaml" in said
        assert "Traceback" not in said

        until[0] = 0.0
        sweep.start()
        rows = sweep.rows()
    finally:
        nodes.close()
    assert {row["resumes"] for row in rows} <= {0, 1}
