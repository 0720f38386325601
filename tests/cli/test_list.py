"""list: every job of a storage, whatever else lies there."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import load_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.handovers import Handover, write_handover
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.process import Process, this_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.spec.job import Job
    from orchestrator.store.local import LocalStore

ELSEWHERE = Process("node7", 41, "another boot pid:[1]", "5")
NOW = 1_700_000_000.0


pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def submit(folder: Path, store: LocalStore) -> Callable[..., Job]:
    """Store a job of four trials under another name, with more lines in its file, and the state of its run."""

    def submit(name: str, lines: str = "", run: RunState | None = None) -> Job:
        path = folder / f"{name}.yaml"
        path.write_text((folder / "job.yaml").read_text().replace("name: study", f"name: {name}") + lines)
        job = load_job(path)
        write_job(store.sibling(name), job)
        if run is not None:
            write_state(store.sibling(name), run)
        return job

    return submit


def listed(orch: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    ran = orch("list", *arguments, "--json")
    assert (ran.code, ran.err) == (0, "")
    return {job["job"]: job for job in json.loads(ran.out)}


def test_each_job_has_a_line(orch: Callable[..., Any], submit: Callable[..., Job], store: LocalStore) -> None:
    job = submit("old", "tags: [paper, 'figure:3']\nnote: first try\n", RunState("done", NOW, NOW + 9, 4, failed=1))
    record(store.sibling("old"), "old", job.trials[0], Status.FINISHED, {"step": 30}, provenance())
    record(store.sibling("old"), "old", job.trials[1], Status.FAILED, {"step": 7, "error": "boom"}, provenance())
    submit("here", run=RunState("running", NOW, NOW, 4, process=this_process()))
    jobs = listed(orch)
    assert list(jobs) == ["here", "old"]
    assert jobs["old"] == {
        "job": "old",
        "state": "done",
        "ended": 2,
        "trials": 4,
        "failed": 1,
        "changed_at": "2023-11-14T22:13:29+00:00",
        "bytes": sum(store.sibling("old").sizes().values()),
        "tags": ["paper", "figure:3"],
        "note": "first try",
        "problem": None,
    }
    heading, first, second = orch("list").out.splitlines()
    assert heading.split() == ["job", "state", "trials", "last", "change", "size", "tags", "note"]
    assert first.split()[:3] == ["here", "running", "0/4"]
    assert second.split()[:5] == ["old", "done", "2/4,", "1", "failed"]
    assert second.endswith("paper figure:3  first try")


def test_tags_choose(orch: Callable[..., Any], submit: Callable[..., Job], folder: Path) -> None:
    submit("one", "tags: [a]\n")
    submit("both", "tags: [a, b]\n")
    assert listed(orch, "--tag", "a").keys() == {"one", "both"}
    assert listed(orch, "--tag", "a", "--tag", "b").keys() == {"both"}
    ran = orch("list", "--tag", "c")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"{folder}/results: no jobs with c\n"


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (None, "no run known"),
        (RunState("interrupted", NOW, NOW, 4), "interrupted"),
        (RunState("running", NOW, NOW, 4, process=ELSEWHERE), "silent"),
        (RunState("running", NOW, NOW, 4), "silent"),
        (
            RunState("running", NOW, NOW, 4, process=Process("x", 2**31 - 1, this_process().machine)),
            "ended without a word",
        ),
    ],
)
def test_states(orch: Callable[..., Any], submit: Callable[..., Job], run: RunState | None, state: str) -> None:
    submit("study", run=run)
    assert listed(orch)["study"]["state"] == state


@pytest.mark.parametrize(("error", "state"), [(None, "handed over"), ("no room", "hand-over failed")])
def test_what_waits_on_a_cluster(
    orch: Callable[..., Any], submit: Callable[..., Job], store: LocalStore, error: str | None, state: str
) -> None:
    submit("study", run=RunState("interrupted", NOW, NOW, 4))
    write_handover(store, Handover("http://head:8265", "orch-study-1", NOW, error))
    assert listed(orch)["study"]["state"] == state


def test_ten_thousand_entries_and_strangers(
    orch: Callable[..., Any], submit: Callable[..., Job], folder: Path, store: LocalStore
) -> None:
    submit("study")
    results = folder / "results"
    for number in range(10_000):
        (results / f"n{number}").touch() if number % 2 else (results / f"n{number}").mkdir()
    for name in ("_classifiers", "Über", ".hidden", "two words", "x" * 64):
        (results / name / "trials").mkdir(parents=True)
        (results / name / "job.yaml").write_text("name: study")
    (results / "link").symlink_to(store.uri)
    (results / "torn").mkdir()
    (results / "torn" / "job.yaml").write_text("grid: {a: [1")
    (results / "far").mkdir()
    (results / "far" / "run.json").write_text('{"state": "done", "started_at": 0, "updated_at": -2e11, "to_run": 1}')
    (results / "piped").mkdir()
    os.mkfifo(results / "piped" / "run.json")
    jobs = listed(orch)
    assert jobs.keys() == {"study", "torn", "far", "piped"}
    assert jobs["study"]["trials"] == 4
    assert jobs["torn"]["trials"] is None
    assert jobs["torn"]["problem"].startswith(f"{results}/torn/job.yaml: ")
    assert jobs["far"]["state"] == jobs["piped"]["state"] == "unreadable"
    assert jobs["far"]["problem"] == f"{results}/far/run.json: damaged; delete it"


@pytest.mark.parametrize(
    ("storage", "line"),
    [
        ("nowhere", "{}/nowhere: no such folder; orch submit makes it, or name another storage"),
        ("results/study", "STORAGE: {0}/results/study is a job's own folder, expected the one above it: {0}/results"),
        ("gs://bucket", "storage: gs:// is not supported, expected a folder such as results or /data/results, or "),
    ],
)
def test_mistakes(orch: Callable[..., Any], submit: Callable[..., Job], folder: Path, storage: str, line: str) -> None:
    submit("study")
    assert orch("list", storage).mistake.startswith(line.format(folder))


@pytest.mark.usefixtures("submit")
def test_tags_and_note_are_shown_elsewhere(
    orch: Callable[..., Any], submit: Callable[..., Job], store: LocalStore
) -> None:
    job = submit("study", "tags: [paper]\nnote: <b>first</b> try\n")
    assert "tags paper\nnote <b>first</b> try\n" in orch("status", "study").out
    assert json.loads(orch("status", "study", "--json").out)["tags"] == ["paper"]
    record(store, "study", job.trials[0], Status.FINISHED, {"step": 30}, provenance())
    assert orch("report", "study").code == 0
    assert b"Tags: paper. &lt;b&gt;first&lt;/b&gt; try" in store.read("report/index.html")
