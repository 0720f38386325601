"""What is lost when processes and nodes are in the middle of an evaluation: time, and nothing else."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

import pytest

from orchestrator.store.tables import read_table
from tests.ray.conftest import planner, raw_job
from tests.ray.drivers import Run
from tests.ray.nodes import Nodes, wait_until
from tests.ray.processes import is_alive, kill_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

NODES, TRIALS, RESTARTS, SHARDS = 3, 2, 2, 5
IMAGES = 64 * (SHARDS - 1) + 1
INVERSION = {"kind": "inversion", "images": IMAGES, "restarts": RESTARTS, "steps": 60, "log_every": 60}


def test_neither_a_process_nor_a_node_takes_a_row_with_it(tmp_path: Path, s3_bucket: str) -> None:
    """On S3 throughout: the processes of the cluster know no other storage."""
    raw = raw_job(
        grid={"training.seed": list(range(TRIALS))},
        training={"epochs": 1, "batch_size": 8, "samples_every": 0},
        resources={"max_retries": 2},
        evaluate=[INVERSION],
        storage=f"s3://{s3_bucket}/studies",
    )
    nodes = Nodes(NODES)
    try:
        sweep = Run(tmp_path, nodes, raw)
        for number, strike in enumerate(("process", "node"), 1):
            sweep.soon(lambda n=number: len(_files(sweep)) >= n, "a part that is stored")
            node, process = sweep.soon(nodes.evaluating, "a process that evaluates")[0]
            assert len(_files(sweep)) < TRIALS * SHARDS
            if strike == "node":
                nodes.kill(node)
                nodes.refill(NODES)
            else:
                kill_process(process)
            wait_until(lambda pid=process: not is_alive(pid), f"the end of a process by its {strike}")
        sweep.rows()
        rows = read_table(sweep.store, "evaluations/inversion").table.to_pylist()
        found = Counter((row["trial_id"], row["image_id"], row["restart"]) for row in rows)
        images = {row["image_id"] for row in rows}
        assert len(images) == IMAGES
        ids = [trial.id for trial in sweep.trials]
        assert found == Counter(product(ids, images, range(RESTARTS)))
        assert len(_files(sweep)) == TRIALS * SHARDS

        again, _ = planner(tmp_path)(raw)
        assert not again.runs
    finally:
        sweep.driver.kill()
        sweep.driver.communicate()
        nodes.close()


def _files(sweep: Run) -> list[str]:
    return list(sweep.store.keys("evaluations/inversion"))
