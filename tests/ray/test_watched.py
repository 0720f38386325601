"""Trials whose samples are measured and whose health may end them, on a real Ray."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from orchestrator.plan.plan import CellState, make_plan
from orchestrator.runtime.sweep import run_sweep
from orchestrator.state.ledger import Status, read_ledger
from orchestrator.state.status import job_status
from orchestrator.store.tables import read_table
from tests.ray.conftest import HERE, Recorder, planner, raw_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.sweep import Outcome
    from orchestrator.store.location import Store

pytestmark = pytest.mark.usefixtures("ray_here")

DATA = {"name": "digits", "max_images": 160}
"""More images than the classifier has features, for FID."""
WATCHED = {
    "epochs": 12,
    "batch_size": 20,
    "log_every": 3,
    "samples_every": 0,
    "measure_every": 4,
    "measure_samples": 200,
    "stop_when": ["saturated", "diverged"],
}
CASES: list[dict[str, Any]] = [
    {"objective": {"kind": "least_squares"}},
    {"objective": {"kind": "saturating"}, "training.d_steps": 3, "training.d_optimizer.lr": 0.02},
    # Its first weight without a gradient is divided by an epsilon that single precision cannot hold.
    {"training.g_optimizer": {"lr": 1.0, "betas": [0.0, 0.0], "eps": 1e-300}},
]


class Watched(NamedTuple):
    """A sweep of trials of which some are ended by their health, and what was said of it."""

    folder: Path
    plan: Plan
    store: Store
    recorder: Recorder
    said: list[str]
    outcome: Outcome


@pytest.fixture(scope="module")
def watched(ray_here: None, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    model = {"kind": "dcgan", "latent_dim": 2, "width": 1}
    raw = raw_job(data=DATA, training=WATCHED, grid={"case": CASES}, model=model)
    plan, store = planner(folder)(raw)
    recorder = Recorder()
    said: list[str] = []
    outcome = run_sweep(plan, store, [recorder], said.append, said.append)
    return Watched(folder, plan, store, recorder, said, outcome)


def test_each_trial_ends_as_its_health_says_and_is_not_run_again(watched: Watched) -> None:
    _, plan, store, recorder, said, outcome = watched
    assert (outcome.ended, outcome.failed) == (3, 0)
    healthy, frozen, diverged = (cell.trial.id for cell in plan.cells)
    assert recorder.ends() == {
        healthy: Status.FINISHED,
        frozen: Status.SATURATED,
        diverged: Status.DIVERGED,
    }
    rows = {row["trial_id"]: row for row in read_table(store, "trials").table.to_pylist()}
    assert rows[healthy]["step"] == 96
    assert 9 < rows[frozen]["step"] < 96
    assert rows[frozen]["saturated_at"] < rows[frozen]["step"]
    assert rows[diverged]["diverged_at"] >= 1
    assert rows[diverged]["error"] is None

    measured = [
        row for row in read_table(store, "metrics").table.to_pylist() if row["trial_id"] == healthy and row["fid"]
    ]
    assert [row["step"] for row in measured] == [32, 64, 96]
    assert all(1 <= row["modes"] <= 10 for row in measured)
    assert rows[healthy]["best_fid"] == min(row["fid"] for row in measured)
    (classifier,) = store.sibling("_classifiers").keys()
    assert len(rows[healthy]["classifier"]) == 16
    assert f"checkpoints/{healthy}.best.pt" in store.keys("checkpoints")
    stages = ["loading images", "training a classifier", "classifier", "starting workers"]
    assert [line.split(" of digits")[0] for line in said] == stages
    assert said[2].endswith(classifier)

    again = make_plan(plan.job, read_ledger(store), (), HERE, store.uri)
    assert {cell.state for cell in again.cells} == {CellState.CACHED}
    states = {trial.id: trial for trial in job_status(plan.job, store, None).trials}
    assert states[frozen].state == "saturated"
    assert states[frozen].note.startswith("saturated by step ")


def test_the_classifier_is_made_once_for_all_jobs_of_a_storage(
    watched: Watched, plan_for: Callable, tmp_path: Path
) -> None:
    shutil.copytree(watched.folder / "results", tmp_path / "results")
    plan, store = plan_for(raw_job(name="other", data=DATA, training={**WATCHED, "epochs": 1, "measure_every": 1}))
    said: list[str] = []
    run_sweep(plan, store, [], said.append)
    assert said == []
    (key,) = store.sibling("_classifiers").keys()
    assert watched.said[2].endswith(key)
    names = {
        row["classifier"]
        for name in ("tiny", "other")
        for row in read_table(store.sibling(name), "trials", ["classifier"]).table.to_pylist()
    }
    assert len(names) == 1
