"""Storage that answers nothing useful for a while: waited for, by every trial."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.ray.conftest import raw_job
from tests.ray.drivers import Run
from tests.ray.nodes import Nodes
from tests.s3 import OUTAGE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

TRAINING = {"batch_size": 8, "epochs": 100, "log_every": 10, "samples_every": 0}


def test_storage_that_fails_for_twenty_seconds_fails_no_trial(tmp_path: Path, s3_proxy: Any, s3_bucket: str) -> None:
    outage: list[float] = []

    def fail(method: str, path: str, headers: Any) -> tuple[int, str] | None:
        if not outage or time.monotonic() > outage[0] + 20:
            return None
        return OUTAGE[len(s3_proxy.seen) % 3]

    s3_proxy.answer = fail
    raw = raw_job(grid={"training.seed": [0, 1]}, training=TRAINING, resources={"max_retries": 0})
    raw["storage"] = f"s3://{s3_bucket}/studies"
    nodes = Nodes(1)
    try:
        sweep = Run(tmp_path, nodes, raw)
        sweep.at_work()
        outage.append(time.monotonic())
        rows = sweep.rows()
    finally:
        nodes.close()
    assert time.monotonic() > outage[0] + 20
    assert {row["resumes"] for row in rows} == {0}
