"""What a shell is given to complete, and the script by which it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    """A job of four trials, of which two have rows, here and in another storage; and what is none."""
    job = load_job(folder / "job.yaml")
    for root in (store, store.sibling("study_two")):
        write_job(root, job)
        for trial in job.trials[:2]:
            record(root, "study", trial, Status.FINISHED, {"step": 30}, provenance())
    (folder / "results" / "empty").mkdir()
    (folder / "results" / "Bad\x1b[31m").mkdir()
    (folder / "evil\x1b[2J.yaml").touch()
    (folder / "jobs" / "deep").mkdir(parents=True)
    (folder / "jobs" / "study.yaml").touch()
    (folder / "jobs" / "words.txt").touch()
    return job


@pytest.fixture
def complete(orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What bash is given for the last of the words, which may be empty."""

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("_ORCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(("orch", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        ran = orch()
        assert (ran.code, ran.err) == (0, "")
        return ran.out.split("\n")[:-1] if ran.out.strip() else []  # type: ignore[no-any-return]

    return complete


@pytest.mark.usefixtures("job")
def test_commands_and_jobs(complete: Callable[..., list[str]]) -> None:
    assert complete("pr") == ["prune"]
    assert complete("bogus", "--sto") == []
    assert complete("status", "") == ["job.yaml", "jobs/study.yaml", "study", "study_two"]
    assert complete("plan", "stu") == ["study", "study_two"]
    assert complete("plan", "jobs/") == ["jobs/deep/", "jobs/study.yaml"]
    assert complete("plan", "nowhere/") == []
    assert complete("status", "study", "--sto") == ["--storage"]
    assert complete("status", "--storage", "s3://bucket/a", "") == ["job.yaml", "jobs/study.yaml"]


def test_trials(complete: Callable[..., list[str]], job: Job) -> None:
    ended = sorted(trial.id for trial in job.trials[:2])
    for command in ("show", "sample", "export"):
        assert complete(command, "study", "") == ended
    assert complete("show", "job.yaml", ended[0][:4]) == ended[:1]
    assert complete("rm", "study", "--trials", ended[1][:4]) == ended[1:]
    assert complete("show", "no.yaml", "") == complete("show", "../x", "") == complete("show", "empty", "") == []


def test_the_script_names_the_command(orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    ran = orch("--show-completion")
    assert (ran.code, ran.err) == (0, "")
    assert "complete -o default -F _orch_completion orch\n" in ran.out
