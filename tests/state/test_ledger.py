"""One row a trial: written at its end, read before the next run."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.errors import StorageError
from orchestrator.spec.columns import trial_columns
from orchestrator.state.ledger import (
    COMMIT_VARIABLE,
    Ended,
    FailureKind,
    Status,
    code_commit,
    provenance,
    read_ledger,
    record,
)
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.spec.job import Job, Trial
    from orchestrator.store.local import LocalStore

OF = {"spec_version": 1, "orch_version": "0.1.0", "torch_version": "2.9", "git_commit": "abc"}
NAN = {"error": "loss is not finite at step 7", "error_kind": "non_finite", "step": 6}


@pytest.fixture
def trial(make: Callable[..., Job]) -> Trial:
    return make({"training.seed": [5]}).trials[0]


def rows(store: LocalStore) -> list[dict[str, Any]]:
    """As somebody without this program reads them."""
    return pd.read_parquet(f"{store.uri}/trials").to_dict("records")


def test_a_row_holds_the_measures_the_settings_and_where_they_are_from(store: LocalStore, trial: Trial) -> None:
    record(store, "study", trial, Status.FINISHED, {"step": 30, "d_loss": 0.5, "device": "cpu"}, OF)
    (row,) = rows(store)
    assert set(row) == {column.name for column in trial_columns()}
    expected = {
        "trial_id": trial.id,
        "job": "study",
        "status": "finished",
        "step": 30,
        "d_loss": 0.5,
        "device": "cpu",
        "git_commit": "abc",
        "training.seed": 5,
        "training.g_optimizer.lr": 2e-4,
        "model.width": 4,
        "data.name": "digits",
        "objective.kind": "non_saturating",
    }
    assert {name: row[name] for name in expected} == expected
    assert list(row["training.g_optimizer.betas"]) == [0.5, 0.999]
    assert pd.isna(row["data.root"])
    assert pd.isna(row["error"])
    assert datetime.now(UTC) - row["ended_at"] < timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "measured", "ended"),
    [
        (
            Status.FINISHED,
            {"step": 30, "train_s": 12.5, "device": "cuda"},
            Ended(Status.FINISHED, step=30, train_s=12.5, device="cuda"),
        ),
        (Status.STOPPED, {}, Ended(Status.STOPPED)),
        (Status.FAILED, NAN, Ended(Status.FAILED, "loss is not finite at step 7", FailureKind.NON_FINITE, step=6)),
    ],
)
def test_what_is_recorded_is_read(
    store: LocalStore, trial: Trial, status: Status, measured: dict[str, Any], ended: Ended
) -> None:
    record(store, "study", trial, status, measured, OF)
    assert read_ledger(store) == {trial.id: ended}


@pytest.mark.parametrize(("resumes", "known"), [(0, True), (None, True), (2, False)])
def test_how_long_a_trial_took_is_known_unless_it_was_interrupted(
    store: LocalStore, trial: Trial, resumes: int | None, known: bool
) -> None:
    began = datetime.now(UTC) - timedelta(hours=1)
    record(store, "study", trial, Status.FINISHED, {"started_at": began, "resumes": resumes}, OF)
    wall_s = read_ledger(store)[trial.id].wall_s
    assert wall_s == pytest.approx(3600, abs=60) if known else wall_s is None


def test_no_trial_yet(store: LocalStore) -> None:
    assert read_ledger(store) == {}


def test_a_finished_row_is_never_written_over(store: LocalStore, trial: Trial) -> None:
    record(store, "study", trial, Status.FINISHED, {"step": 30}, OF)
    before = store.read(f"trials/{trial.id}.parquet")
    for status, measured in ((Status.FINISHED, {"step": 31}), (Status.FAILED, NAN), (Status.STOPPED, {"step": 3})):
        record(store, "other", trial, status, measured, OF)
    assert store.read(f"trials/{trial.id}.parquet") == before


@pytest.mark.parametrize("before", [Status.FAILED, Status.STOPPED])
@pytest.mark.parametrize("after", list(Status))
def test_another_end_takes_the_place_of_a_failure_or_a_stop(
    store: LocalStore, trial: Trial, before: Status, after: Status
) -> None:
    record(store, "study", trial, before, NAN if before is Status.FAILED else {"step": 6}, OF)
    record(store, "study", trial, after, {"step": 30}, OF)
    (row,) = rows(store)
    assert (row["status"], row["step"]) == (str(after), 30)
    assert pd.isna(row["error"])


def test_each_trial_has_one_file(store: LocalStore, make: Callable[..., Job]) -> None:
    job = make({"training.seed": [0, 1, 2]})
    for trial in job.trials:
        record(store, "study", trial, Status.FAILED, NAN, OF)
        record(store, "study", trial, Status.FINISHED, {}, OF)
    assert store.keys("trials") == sorted(f"trials/{trial.id}.parquet" for trial in job.trials)
    assert set(read_ledger(store)) == {trial.id for trial in job.trials}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"status": "vanished", "error_kind": None}, "'vanished' is not a valid Status"),
        ({"status": None, "error_kind": None}, "None is not a valid Status"),
        ({"status": "failed", "error_kind": "gremlins"}, "'gremlins' is not a valid FailureKind"),
    ],
)
def test_a_row_of_another_version_is_one_line(store: LocalStore, row: dict[str, Any], problem: str) -> None:
    schema = pa.schema([("trial_id", pa.string()), ("status", pa.string()), ("error_kind", pa.string())])
    write_rows(store, "trials/000000000000ab12.parquet", schema, [{"trial_id": "000000000000ab12", **row}])
    with pytest.raises(StorageError) as caught:
        read_ledger(store)
    assert str(caught.value) == (
        f"{store.uri}/trials/000000000000ab12.parquet: {problem}; delete the file to run the trial again"
    )


def test_a_damaged_file_is_one_line(store: LocalStore, trial: Trial) -> None:
    record(store, "study", trial, Status.FINISHED, {}, OF)
    key = f"trials/{trial.id}.parquet"
    store.write(key, store.read(key)[:-20])
    with pytest.raises(StorageError) as caught:
        read_ledger(store)
    assert str(caught.value).startswith(f"{store.uri}/{key}: not a whole Parquet file")
    assert str(caught.value).isprintable()


GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package in it; the package's folder."""
    package = tmp_path / "repository" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*GIT, "-C", str(package), *command], check=True)
    return package


def test_provenance_names_the_commit_of_the_code_and_whether_it_was_changed(checkout: Path) -> None:
    log = subprocess.run([*GIT, "-C", str(checkout), "log", "--format=%H"], check=True, capture_output=True, text=True)
    commit = log.stdout.strip()
    assert code_commit(checkout) == {"git_commit": commit, "git_dirty": False}
    (checkout.parent / "notes.txt").touch()  # beside the package
    assert code_commit(checkout) == {"git_commit": commit, "git_dirty": False}
    (checkout / "new.py").touch()
    assert code_commit(checkout) == {"git_commit": commit, "git_dirty": True}
    assert set(provenance()) == {*OF, "git_dirty"}


def test_the_current_folder_is_nobody_s_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = code_commit(checkout)["git_commit"]
    monkeypatch.chdir(checkout)
    provenance.cache_clear()
    assert provenance()["git_commit"] != commit


def test_code_that_is_installed_within_a_repository_is_of_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    nowhere = {"git_commit": None, "git_dirty": None}
    assert code_commit(installed) == nowhere
    monkeypatch.setenv("PATH", str(checkout))  # which holds no git
    assert code_commit(checkout) == nowhere


@pytest.mark.parametrize(("sent", "dirty"), [("abc123", False), ("abc123-dirty", True)])
def test_code_that_was_sent_has_the_commit_that_was_sent_along(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, sent: str, dirty: bool
) -> None:
    monkeypatch.setenv(COMMIT_VARIABLE, sent)
    assert code_commit(checkout.parent) == {"git_commit": "abc123", "git_dirty": dirty}
