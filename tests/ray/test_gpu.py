"""Several trials on one GPU, where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
import torch

from orchestrator.plan.placement import this_machine
from orchestrator.plan.plan import make_plan
from orchestrator.runtime.local import local_ray
from orchestrator.runtime.sweep import run_sweep
from orchestrator.spec.job import make_job
from orchestrator.store.local import LocalStore
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import Recorder, raw_job

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_trials_share_a_gpu_and_name_it_in_their_rows(tmp_path: Path) -> None:
    """On a Ray of its own, which has the machine's GPUs: that of the folder's other tests has none."""
    grid = {"training.seed": [0, 1, 2, 3]}
    evaluate = [{"kind": "sharpness"}]
    raw = raw_job(grid=grid, evaluate=evaluate, resources={"gpus_per_worker": 0.5, "max_concurrent": 2})
    job, cluster, store = make_job(raw, "job.yaml"), this_machine(), LocalStore(tmp_path / "study")
    plan = make_plan(job, {}, (), cluster, store.uri)
    assert plan.problem is None
    (placement,) = plan.placements.values()
    assert (placement.device, placement.gpus, placement.concurrent) == ("cuda", 0.5, 2)
    with local_ray(cluster):
        outcome = run_sweep(plan, store, [Recorder()])
    assert (outcome.ended, outcome.failed) == (4, 0)
    rows = pd.DataFrame(assert_exactly_once(store, job.trials))
    evaluated = pd.read_parquet(tmp_path / "study" / "evaluations" / "sharpness")
    assert set(rows["device"]) == set(evaluated["evaluated_on"]) == {"cuda"}
    for table in (rows, evaluated):
        assert set(table["device_model"]) <= {torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())}
        assert (table["device_memory_gib"] > 0).all()
        assert table["driver_version"].str.match(r"\d+\.").all()
