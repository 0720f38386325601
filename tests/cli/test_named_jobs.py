"""A job is named by its file or its name in every command: a file speaks for itself, a name for what was submitted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import run
from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import NO_SUCH_JOB, write_job
from orchestrator.state.ledger import Status, provenance, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore

CLAIM = "claims: [{id: A, says: s, measure: d_loss, better: lower, group: {training.d_steps: 3}, than: {training.d_steps: 1}}]\n"  # noqa: E501


@pytest.fixture
def submitted(folder: Path, store: LocalStore) -> Job:
    """Four trials in storage, one of them done; wider.yaml is of the same name, with two trials more and a claim."""
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    record(store, "study", job.trials[0], Status.FINISHED, {"step": 30}, provenance())
    wider = (folder / "job.yaml").read_text().replace("training.seed: [0, 1]", "training.seed: [0, 1, 2]")
    (folder / "wider.yaml").write_text(wider + CLAIM)
    return job


def trials_of(orch: Callable[..., Any], command: str, *arguments: str) -> int:
    """How many trials a command takes the job to have."""
    text = orch(command, *arguments, "--json").out
    counted = json.loads(text)["trials"]
    return counted if isinstance(counted, int) else len(counted)


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize("command", [("validate",), ("plan",), ("submit", "--dry-run"), ("status",)])
def test_each_command_speaks_of_the_same_trials(
    orch: Callable[..., Any], folder: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for name, trials in (("study", 4), ("job.yaml", 4), ("wider.yaml", 6), ("./wider.yaml", 6), ("~/wider.yaml", 6)):
        assert trials_of(orch, *command, name) == trials
    assert trials_of(orch, *command, "results/study/job.yaml") == 4
    (folder / "wider").write_text((folder / "wider.yaml").read_text())
    assert trials_of(orch, *command, "./wider") == 6
    if command != ("status",):
        assert trials_of(orch, *command, "study", "--set", "grid.training.seed=[0]") == 2


def test_what_is_run_is_what_was_named(
    orch: Callable[..., Any], submitted: Job, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[int, str]] = []
    monkeypatch.setattr(run, "drive", lambda job, there, *_, **__: runs.append((len(job.trials), there.uri)))
    for command in ("submit", "resume"):
        for name in ("study", "wider.yaml"):
            assert orch(command, name).code == 0
    assert orch("submit", "study", "--set", "grid.training.seed=[0]").code == 0
    assert runs == [(4, store.uri), (6, store.uri), (4, store.uri), (6, store.uri), (2, store.uri)]
    assert len(submitted.trials) == 4


@pytest.mark.usefixtures("submitted")
def test_claims_are_those_of_the_file_or_of_what_was_submitted(orch: Callable[..., Any], store: LocalStore) -> None:
    assert (
        orch("results", "study", "--claims").mistake
        == f"{store.uri}/job.yaml: claims: is missing; see docs/job-file.md"
    )
    (verdict,) = json.loads(orch("results", "wider.yaml", "--claims", "--json").out)
    assert verdict["claim"] == "A"
    assert orch("report", "wider.yaml").out == f"{store.uri}/report/index.html\n"
    assert b"undecided" in store.read("report/index.html")
    assert orch("report", "study").code == 0
    assert b"undecided" not in store.read("report/index.html")
    assert orch("results", "study").out == orch("results", "wider.yaml").out


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize(
    "command",
    [
        "validate",
        "plan",
        "submit",
        "resume",
        "evaluate",
        "status",
        "logs",
        "cancel",
        "results",
        "report",
        "sample",
        "export",
        "doctor",
    ],
)
def test_a_name_that_is_nearly_right(orch: Callable[..., Any], folder: Path, store: LocalStore, command: str) -> None:
    write_job(store.sibling("other"), load_job(folder / "job.yaml"))
    (folder / "results" / "empty").mkdir()
    line = f"{folder}/results/stduy: {NO_SUCH_JOB}; did you mean 'study'? jobs there: other, study"
    assert orch(command, "stduy").mistake == line
    assert orch(command, "wider").mistake == f"{folder}/results/wider: {NO_SUCH_JOB}; did you mean the file wider.yaml?"
    assert orch(command, "results/study").mistake == (
        "JOB: got 'results/study', expected a job's name or its job file; "
        "for the job in that folder write: study --storage results"
    )
