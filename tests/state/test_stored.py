"""Rows of earlier versions are found by their settings, and count as what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import CellState
from orchestrator.plan.survey import survey
from orchestrator.spec import identity
from orchestrator.state import stored as stored_module
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.status import job_status
from orchestrator.state.stored import notice_of, stored_job
from orchestrator.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job
    from orchestrator.store.local import LocalStore

HERE = Cluster((Machine(cpus=2, gpus=0),))
PRESENT = identity.SPEC_VERSION
SEEDS = {"training.seed": [0, 1, 2]}


@pytest.fixture
def train(make: Callable[..., Job], store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Records every trial of a job as a version of this program would; the ids of its rows."""

    def under(version: int, grid: dict[str, list[Any]] = SEEDS, **sections: Any) -> list[str]:
        with monkeypatch.context() as patched:
            patched.setattr(identity, "SPEC_VERSION", version)
            trials = make(grid, **sections).trials
        for trial in trials:
            record(store, "study", trial, Status.FINISHED, {"step": 30}, {**provenance(), "spec_version": version})
        return [trial.id for trial in trials]

    return under


def test_rows_of_an_earlier_version_are_seen_and_counted_as_such(
    make: Callable[..., Job], store: LocalStore, train: Callable[..., list[str]]
) -> None:
    before, job = train(PRESENT - 1), make(SEEDS)
    stored = stored_job(job, store)
    assert [trial.id for trial in stored.job.trials] == before
    assert [trial.id for trial in stored.today.trials] == [trial.id for trial in job.trials]
    assert stored.versions == dict.fromkeys(before, PRESENT - 1)

    state = job_status(job, store, None)
    assert state.describe() == f"not running; 3 finished (spec version {PRESENT - 1})"
    assert [trial.note for trial in state.trials] == [f"spec version {PRESENT - 1}"] * 3
    plan = survey(job, store, HERE)
    assert len(plan.having(CellState.NEW)) == 3
    assert plan.notes == (
        f"storage has 3 trials of spec version {PRESENT - 1}, which count as new: under the present one, {PRESENT}, "
        "the same settings give other numbers; their rows stay",
    )


def test_the_latest_version_of_a_trial_counts(
    make: Callable[..., Job], store: LocalStore, train: Callable[..., list[str]]
) -> None:
    train(PRESENT - 2)
    train(PRESENT - 1)
    (present,) = train(PRESENT, {"training.seed": [1]})
    job = make(SEEDS)
    stored = stored_job(job, store)
    assert stored.job.trials[1].id == present == stored.today.trials[1].id
    assert sorted(stored.versions.values()) == [PRESENT - 1] * 2
    assert [cell.state for cell in survey(job, store, HERE).cells] == [CellState.NEW, CellState.CACHED, CellState.NEW]
    # Seeds of a cell count once each, however often and under whichever version they were trained.
    kept = load_study(store).trials
    assert sorted(zip(kept["training.seed"], kept["spec_version"], strict=True)) == [
        (0, PRESENT - 1),
        (1, PRESENT),
        (2, PRESENT - 1),
    ]


def test_rows_of_other_grids_and_of_settings_that_are_gone_are_nobody_s(
    make: Callable[..., Job], store: LocalStore, train: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(PRESENT - 1, {"training.seed": [7]})
    train(PRESENT - 1, {"training.seed": [0]})
    monkeypatch.setattr(stored_module, "current_id", lambda row: None)
    assert stored_job(make(SEEDS), store).versions == {}


@pytest.mark.parametrize(
    ("versions", "lines"),
    [([], 0), ([4], 1), ([4, 4, 3], 1)],
)
def test_notices(versions: list[int], lines: int) -> None:
    notices = notice_of(versions)
    assert len(notices) == lines
    assert all(f"of spec version {version}" in notices[0] for version in versions)
