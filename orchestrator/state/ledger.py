"""The ledger of a job's ended trials: one file of trials/ each, read before a run and written at a trial's end."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import __version__
from orchestrator.errors import StorageError
from orchestrator.spec.columns import declared, trial_columns
from orchestrator.spec.identity import SPEC_VERSION, flatten
from orchestrator.store.columns import schema_of
from orchestrator.store.tables import read_table, write_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store


COMMIT_VARIABLE = "ORCH_GIT_COMMIT"
"""An environment variable with the commit of code outside a checkout, and ``-dirty`` after it where files differed."""


class FailureKind(StrEnum):
    """Why a trial failed, as far as it decides whether trying again can help."""

    INFRASTRUCTURE = "infrastructure"
    SURROUNDINGS = "surroundings"
    """The disk, storage or the system, which every trial depends on. It ends the run, and no trial gets a row."""
    NON_FINITE = "non_finite"
    OUT_OF_MEMORY = "out_of_memory"
    PROGRAM = "program"

    @property
    def may_pass(self) -> bool:
        """Whether another try can help; Tune makes up to ``resources.max_retries``."""
        return self is FailureKind.INFRASTRUCTURE

    @property
    def of_trial(self) -> bool:
        """Whether the failure ends the trial: another try would fail the same way."""
        return self not in (FailureKind.INFRASTRUCTURE, FailureKind.SURROUNDINGS)


class Status(StrEnum):
    """How a trial ended."""

    FINISHED = "finished"
    SATURATED = "saturated"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"
    NO_IMPROVEMENT = "no_improvement"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the trial ended by itself: after all its steps, by a condition of its ``stop_when`` or its time."""
        return self not in (Status.STOPPED, Status.FAILED)


ENDED = tuple(str(status) for status in Status if status.final)
"""Statuses of trials that ran as they were told to, to their last epoch or to the condition that was to end them."""


@dataclass(frozen=True)
class Ended:
    """The columns of an ended trial's row that plans use."""

    status: Status
    error: str | None = None
    error_kind: FailureKind | None = None
    device: str | None = None
    step: int | None = None
    train_s: float | None = None
    wall_s: float | None = None
    """Seconds from its beginning to its end; None where it was interrupted in between."""
    images: int | None = None
    """Number of images that it trained on; None where its row has none."""
    data_fingerprint: str | None = None
    """Fingerprint of these images, likewise."""


_READ = (
    "trial_id",
    "status",
    "error",
    "error_kind",
    "device",
    "step",
    "train_s",
    "started_at",
    "ended_at",
    "resumes",
    "images",
    "data_fingerprint",
)


def read_ledger(store: Store) -> dict[str, Ended]:
    """Every ended trial of the job whose root is ``store``, by trial id.

    Raises StorageError, also for a file that cannot be read: its trial would count as new.
    """
    rows = read_table(store, "trials", _READ, declared("trials")).whole(store)
    return {row["trial_id"]: _ended(row, store) for row in rows.to_pylist()}


def _ended(row: Mapping[str, Any], store: Store) -> Ended:
    try:
        status, kind = Status(row["status"]), FailureKind(row["error_kind"]) if row["error_kind"] else None
    except ValueError as error:
        key = f"trials/{row['trial_id']}.parquet"
        raise StorageError(f"{store.uri}/{key}: {error}; delete the file to run the trial again") from error
    began, end = row["started_at"], row["ended_at"]
    wall_s = (end - began).total_seconds() if began and end and not row["resumes"] else None
    wall_s = None if wall_s is not None and wall_s < 0 else wall_s  # the clock was set back in between
    measured = row["device"], row["step"], row["train_s"], wall_s
    return Ended(status, row["error"], kind, *measured, row["images"], row["data_fingerprint"])


def record(
    store: Store,
    job: str,
    trial: Trial,
    status: Status,
    measured: Mapping[str, object],
    provenance: Mapping[str, object],
) -> None:
    """Write a trial's one row. It replaces the row of a stopped or failed trial, never a final one."""
    settings = flatten(trial.settings.model_dump())
    row = {
        "trial_id": trial.id,
        "job": job,
        "status": str(status),
        "ended_at": datetime.now(UTC),
        **measured,
        **provenance,
        **settings,
    }
    key, schema = f"trials/{trial.id}.parquet", schema_of(trial_columns())
    if not write_rows(store, key, schema, [row], replace=False):
        statuses = read_table(store, key, ["status"]).whole(store)["status"].to_pylist()
        if not all(Status(status).final for status in statuses):
            write_rows(store, key, schema, [row])


@cache
def provenance() -> dict[str, Any]:
    """Versions of this program and of torch, and the commit of this program's code."""
    return {
        "spec_version": SPEC_VERSION,
        "orch_version": __version__,
        "torch_version": version("torch"),
        **code_commit(Path(__file__).parents[1]),
    }


def code_commit(package: Path) -> dict[str, Any]:
    """The commit that the folder of a package is checked out from, and whether its files differ from it.

    Both are None without git, and where the folder is not tracked, even inside a checkout. A copy that was sent to a
    cluster takes both from the machine that sent it: see ``COMMIT_VARIABLE``.
    """
    if sent := os.environ.get(COMMIT_VARIABLE):
        commit, _, dirty = sent.partition("-")
        return {"git_commit": commit, "git_dirty": bool(dirty)}
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"git_commit": None, "git_dirty": None}
    head, changes = _git(package, "rev-parse", "HEAD"), _git(package, "status", "--porcelain", "--", ".")
    return {"git_commit": head or None, "git_dirty": bool(changes)}


def commit_to_send() -> str:
    """The value of ``COMMIT_VARIABLE`` for a copy of this program elsewhere; empty where the commit is unknown."""
    code = provenance()
    return f"{code['git_commit']}{'-dirty' if code['git_dirty'] else ''}" if code["git_commit"] else ""


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git in the folder; None where git is missing or fails."""
    try:
        git = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return None
    return git.stdout.strip() if git.returncode == 0 else None
