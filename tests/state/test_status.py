"""How a job is getting on, told from storage alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from orchestrator.state.files import Nodes, RunState
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.status import job_status, label
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.spec.job import Job, Trial
    from orchestrator.store.local import LocalStore


def log(store: LocalStore, trial: Trial, steps: Sequence[int | None]) -> None:
    rows = [{"trial_id": trial.id, "step": step} for step in steps]
    write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)


@pytest.fixture
def job(make: Callable[..., Job], store: LocalStore) -> Job:
    """Six trials of 30 steps: finished, failed, stopped, and three that only metrics or nothing tell of."""
    job = make({"training.seed": [0, 1, 2, 3, 4, 5]})
    finished, failed, stopped, begun, running, _ = job.trials
    record(store, "study", finished, Status.FINISHED, {"step": 30}, provenance())
    record(store, "study", failed, Status.FAILED, {"error": "boom", "error_kind": "program"}, provenance())
    record(store, "study", stopped, Status.STOPPED, {}, provenance())
    log(store, finished, range(10, 31, 10))
    log(store, stopped, [20, 10])
    log(store, begun, [10, 20])
    log(store, running, [10])
    return job


def test_during_a_run(job: Job, store: LocalStore) -> None:
    *_, running, _ = job.trials
    run = RunState("running", time.time(), time.time() - 3, 3, running={running.id: (17, 30)})
    state = job_status(job, store, run, alive=True)
    assert [(trial.state, trial.step, trial.total_steps, trial.error) for trial in state.trials] == [
        ("finished", 30, 30, None),
        ("failed", 0, 30, "boom"),
        ("stopped", 20, 30, None),
        ("interrupted", 20, 30, None),
        ("running", 17, 30, None),
        ("waiting", 0, 30, None),
    ]
    assert state.running
    assert state.updated_s == pytest.approx(3, abs=2)
    assert state.describe() == "running; 1 finished, 1 failed, 1 stopped, 1 interrupted, 1 running, 1 waiting"


def test_a_running_trial_s_last_report_may_be_older_than_its_metrics(job: Job, store: LocalStore) -> None:
    running = job.trials[4]
    run = RunState("running", time.time(), time.time(), 3, running={running.id: (4, 30)})
    assert job_status(job, store, run, alive=True).trials[4].step == 10


@pytest.mark.parametrize("state", ["running", "interrupted", "done"])
def test_after_a_run_that_ended_or_died(job: Job, store: LocalStore, state: str) -> None:
    run = RunState(state, 0.0, time.time() - 3600, 3, running={job.trials[4].id: (17, 30)})
    after = job_status(job, store, run)
    assert [trial.state for trial in after.trials[3:]] == ["interrupted", "interrupted", "waiting"]
    assert not after.running
    assert after.describe().startswith("not running; 2 interrupted")
    assert after.updated_s == pytest.approx(3600, abs=60)


def test_a_trial_that_ended_is_not_running_whatever_the_run_says(job: Job, store: LocalStore) -> None:
    run = RunState("running", time.time(), time.time(), 3, running={job.trials[0].id: (17, 30)})
    assert job_status(job, store, run, alive=True).trials[0].state == "finished"


def test_where_a_run_is(job: Job, store: LocalStore) -> None:
    here = RunState("running", time.time(), time.time(), 3)
    assert job_status(job, store, here).where() is None
    there = RunState("running", time.time(), time.time(), 3, address="http://head:8265", nodes=Nodes(5, 3, 1))
    assert job_status(job, store, there, alive=True).where() == "http://head:8265, nodes: 5 wanted, 3 present, 1 idle"
    assert job_status(job, store, there, alive=True).as_json()["nodes"] == {"wanted": 5, "present": 3, "idle": 1}
    there.submission_id, there.state = "orch-study-1", "cancelled"
    after = job_status(job, store, there)
    assert after.where() == "http://head:8265, orch-study-1"
    told = {"run": "cancelled", "address": "http://head:8265", "submission_id": "orch-study-1", "nodes": None}
    assert {name: after.as_json()[name] for name in told} == told


def test_before_any_run(make: Callable[..., Job], store: LocalStore) -> None:
    state = job_status(make({"training.seed": [0, 1]}), store, None)
    assert state.describe() == "not running; 2 waiting"
    assert state.as_json() == {
        "job": "study",
        "tags": [],
        "note": "",
        "running": False,
        "updated_s": None,
        "run": None,
        "address": None,
        "submission_id": None,
        "nodes": None,
        "counts": {"waiting": 2},
        "evaluations": None,
        "left_out": [],
        "trials": [
            {
                "id": trial.id,
                "label": f"seed={seed}",
                "state": "waiting",
                "step": 0,
                "total_steps": 30,
                "error": None,
                "health": "healthy",
                "unwell_at": None,
                "spec_version": None,
            }
            for seed, trial in enumerate(make({"training.seed": [0, 1]}).trials)
        ],
    }


def test_metrics_without_a_step_are_no_progress(make: Callable[..., Job], store: LocalStore) -> None:
    job = make()
    log(store, job.trials[0], [None])
    assert job_status(job, store, None).trials[0].state == "waiting"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"objective.kind": "least_squares", "training.d_steps": 3}, "least_squares d_steps=3"),
        ({"training.g_optimizer.lr": 1e-4, "model.kind": "dcgan"}, "lr=0.0001 dcgan"),
        ({"data.name": "mnist", "training.seed": 1}, "mnist seed=1"),
        (
            {"training.g_optimizer.lr": 0.1, "training.d_optimizer.lr": 0.2, "training.seed": 0},
            "g_optimizer.lr=0.1 d_optimizer.lr=0.2 seed=0",
        ),
        ({"training": {"epochs": 3}}, "training={'epochs': 3}"),
    ],
)
def test_labels(changes: dict[str, object], words: str) -> None:
    assert label(changes) == words
