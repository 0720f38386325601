"""A search on Ray: it ends at its cap, and with a higher one it goes on without training what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.plan.survey import survey
from orchestrator.runtime.sweep import run_sweep
from orchestrator.spec.job import make_job
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.state.proposals import read_proposals
from orchestrator.store.local import LocalStore
from tests.ray.conftest import HERE, Recorder, raw_job

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("ray_here")

GRID = {"training.g_optimizer.lr": {"low": 1e-5, "high": 1e-2, "log": True}, "training.seed": [0, 1]}


def test_a_search_goes_on_from_what_is_known(tmp_path: Path) -> None:
    store, ends = LocalStore(tmp_path / "tiny"), []
    for cap in (4, 6):
        search = {"algorithm": "tpe", "trials": cap, "measure": "g_loss", "mode": "min"}
        plan = survey(make_job(raw_job(grid=GRID, search=search), "job.yaml"), store, HERE)
        recorder = Recorder()
        outcome = run_sweep(plan, store, [recorder])
        assert (outcome.ended, outcome.failed, outcome.interrupted) == (plan.to_run, 0, False)
        ends.append(recorder.ends())
    first, second = ends
    assert (len(first), len(second), first.keys() & second.keys()) == (4, 2, set())
    assert set(first.values()) | set(second.values()) == {Status.FINISHED}
    assert read_ledger(store).keys() == first.keys() | second.keys()
    assert len(read_proposals(store)) == 3
    assert not survey(plan.job, store, HERE).runs
