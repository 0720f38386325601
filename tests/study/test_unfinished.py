"""Studies of some trials alone, and with those that have not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import NotFoundError
from orchestrator.spec.job import make_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, record
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from orchestrator.study import load_study
from tests.jobs import raw_job

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.spec.job import Job


@pytest.fixture
def job() -> Job:
    return make_job(raw_job(grid={"training.d_steps": [1, 2], "training.seed": [0, 1]}), "job.yaml")


@pytest.fixture
def store(tmp_path: Path, job: Job) -> LocalStore:
    """Of four trials the last has ended, the third has logged steps, and the first is of no job."""
    store = LocalStore(tmp_path / "study")
    write_job(store, job)
    *_, begun, ended = (trial.id for trial in job.trials)
    for trial_id, steps in ((begun, (10, 20)), (ended, (10, 20, 30)), ("f" * 16, (5,))):
        rows = [{"trial_id": trial_id, "step": step, "epoch": step / 10, "d_loss": 1.0} for step in steps]
        write_rows(store, f"metrics/{trial_id}.parquet", schema_of(METRICS), rows)
        store.write(f"samples/{trial_id}/epoch-0001.png", b"a picture")
    record(store, "tiny", job.trials[3], Status.FINISHED, {"step": 30, "epoch": 3.0, "d_loss": 1.0}, {})
    return store


def test_trials_that_have_not_ended_have_rows_where_these_are_asked_for(store: LocalStore, job: Job) -> None:
    *_, begun, ended = (trial.id for trial in job.trials)
    assert load_study(store).trials["trial_id"].tolist() == [ended]
    study = load_study(store, unfinished="running")
    assert study.trials["trial_id"].tolist() == [begun, ended]
    assert study.trials["status"].tolist() == ["running", "finished"]
    assert study.trials[["step", "epoch"]].to_numpy().tolist() == [[20, 2.0], [30, 3.0]]
    assert study.trials["d_loss"].isna().tolist() == [True, False]
    assert study.trials["training.seed"].tolist() == [0, 1]
    assert study.varying == ("training.seed",)
    assert study.ended["trial_id"].tolist() == [ended]


def test_of_some_trials_nothing_else_is_read(store: LocalStore, job: Job) -> None:
    *_, begun, ended = (trial.id for trial in job.trials)
    store.write("metrics/eeeeeeeeeeeeeeee.parquet", b"damaged")
    for only, rows in (([begun], 2), ([ended], 3), ([begun, ended], 5)):
        study = load_study(store, only=only, unfinished="interrupted")
        assert study.trials["trial_id"].tolist() == only
        assert len(study.metrics) == rows
        assert sorted(study.samples) == sorted(only)
        assert study.left_out == ()
    assert load_study(store).left_out != ()
    with pytest.raises(NotFoundError):
        load_study(store, only=[job.trials[0].id])
