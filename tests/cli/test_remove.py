"""rm and prune: what is removed, what stays, what a plan says afterwards, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli.evaluate import _with_evaluation
from orchestrator.errors import StorageUnavailable
from orchestrator.spec.job import Job, load_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.handovers import Handover, write_handover
from orchestrator.state.lease import last_entry, new_holder, take
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.process import Process, this_process
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


ELSEWHERE = Process("node7", 41, "another boot pid:[1]", "5")
DEAD = replace(this_process(), started="1")


pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def job(folder: Path, store: LocalStore) -> Job:
    """Four trials: three done, with checkpoints of their ends and of the lowest FID; one is interrupted."""
    job = load_job(folder / "job.yaml")
    write_job(store, job)
    for place, trial in enumerate(job.trials):
        if place < 3:
            record(store, "study", trial, Status.FINISHED, {"step": 30, "fid": 20.0 - place}, provenance())
        rows = [{"trial_id": trial.id, "step": 10, "g_loss": 1.0}]
        write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)
        store.write(f"checkpoints/{trial.id}.pt", bytes(1000))
        store.write(f"checkpoints/{trial.id}.best.pt", bytes(500))
    store.write("notes.txt", b"a stranger's")
    return job


def checkpoints(store: LocalStore) -> set[str]:
    return {key.removeprefix("checkpoints/").removesuffix(".pt") for key in store.keys("checkpoints")}


def states(orch: Callable[..., Any]) -> list[str]:
    return [cell["state"] for cell in json.loads(orch("plan", "study", "--json").out)["trials"]]


def test_a_job_goes(orch: Callable[..., Any], job: Job, store: LocalStore, folder: Path) -> None:
    assert orch("report", "study").code == 0
    (folder / "results" / "study" / "report" / "figures" / "mine.png").write_bytes(b"mine")
    ran = orch("rm", "study", "--yes")
    assert ran.code == 0
    assert ran.out.startswith("removed the job study: ")
    assert ran.err == "2 files that orch has not written stayed, such as notes.txt\n"
    assert store.keys() == ["notes.txt", "report/figures/mine.png"]
    assert not (folder / "results" / "study" / "trials").exists()
    shutil.rmtree(store.uri)
    write_job(LocalStore(folder / "results" / "study"), job)
    assert orch("rm", "study", "--yes").err == ""
    assert [path.name for path in (folder / "results").iterdir()] == []
    assert "no such job" in orch("rm", "study", "--yes").mistake


def test_trials_go_and_are_new(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    first, second = (trial.id for trial in job.trials[:2])
    assert states(orch) == ["cached", "cached", "cached", "new"]
    ran = orch("rm", "study", "--trials", first[:6], "--trials", second, "--yes")
    assert ran.out == "removed 2 trials of study: 8 files, {}\n".format(ran.out.split(", ")[-1].rstrip("\n"))
    assert states(orch) == ["new", "new", "cached", "new"]
    assert not [key for key in store.keys() if first in key or second in key]  # noqa: SIM118 - a store is no mapping
    assert last_entry(store).holder.released  # type: ignore[union-attr]


@pytest.mark.parametrize(("keep", "stays"), [("none", []), ("last", ["0", "1", "2"]), ("best", ["2", "2.best"])])
def test_checkpoints_go_and_results_stay(
    orch: Callable[..., Any], job: Job, store: LocalStore, keep: str, stays: list[str]
) -> None:
    ids = [trial.id for trial in job.trials]
    others = [key for key in store.keys() if not key.startswith("checkpoints/")]  # noqa: SIM118 - as above
    ran = orch("prune", "study", "--keep", keep, "--yes")
    assert ran.code == 0
    kept = {f"{ids[int(name[0])]}{name[1:]}" for name in stays}
    assert checkpoints(store) == kept | {ids[3], f"{ids[3]}.best"}
    gone = 8 - len(checkpoints(store))
    size = {"none": "4.5 kB", "last": "1.5 kB", "best": "3 kB"}[keep]
    assert ran.out == f"freed {size}: {gone} files of checkpoints\n"
    if keep == "best":
        assert ran.err == f"the best trial is {ids[2]}: fid 18\n"
    assert set(others) <= set(store.keys())
    assert states(orch) == ["cached", "cached", "cached", "new"]
    assert orch("prune", "study", "--keep", keep, "--yes").out == "study: no checkpoint can go\n"


def test_a_plan_says_what_a_prune_means_for_evaluations(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    assert orch("prune", "study", "--keep", "best", "--yes").code == 0
    note = (
        "note: 2 evaluations of 2 trials cannot be computed, for want of checkpoints, which were removed: "
        f"'orch rm study --trials {job.trials[0].id[:8]}' makes such a trial new, and a submission trains it again"
    )
    ran = orch("evaluate", "study", "--kind", "quality", "--dry-run")
    assert (ran.code, ran.out.splitlines()) == (0, ["evaluations: 1 new, 0 cached", note])
    planned = json.loads(orch("evaluate", "study", "--kind", "quality", "--dry-run", "--json").out)
    assert [one["trial_id"] for one in planned["evaluations"]] == [job.trials[2].id]
    write_job(store, _with_evaluation(job, "quality", []))
    lines = orch("plan", "study").out.splitlines()
    assert note in lines
    assert "evaluations: 2 new, 0 cached" in lines, "of the best trial, and of the one that is to go on"
    assert orch("prune", "study", "--keep", "none", "--yes").code == 0
    ran = orch("evaluate", "study")
    assert ran.code == 0, "there is nothing to compute"
    assert "note: 3 evaluations of 3 trials cannot be computed" in ran.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("rm", "study", "--trials", "xyz"), "with which no trial's id begins; trials there: "),
        (("rm", "study", "--trials", ""), "--trials: is empty, expected the beginning of a trial's id"),
        (("rm", "study"), "--yes: is missing, and nobody is there to ask: remove the job study from "),
        (("prune", "study"), "--keep: is missing, expected best, last or none"),
        (("prune", "study", "--keep", "all"), "--keep: got 'all', expected best, last or none"),
        (("prune", "study", "--keep", "last", "--measure", "fid"), "--measure: has no effect without --keep best"),
        (("prune", "study", "--keep", "best", "--measure", "g_loss"), "--measure: got 'g_loss'; "),
        (
            ("prune", "study", "--keep", "best", "--measure", "modes"),
            "no trial that has ended has a value of modes",
        ),
        (
            ("prune", "study", "--keep", "none"),
            "--yes: is missing, and nobody is there to ask: remove checkpoints ",
        ),
    ],
)
@pytest.mark.usefixtures("job", "untouched")
def test_mistakes(orch: Callable[..., Any], arguments: tuple[str, ...], line: str) -> None:
    ran = orch(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert line in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("rm", "study"), ("rm", "study", "--trials"), ("prune", "study", "--keep", "none")]
)
@pytest.mark.parametrize(
    ("process", "line"),
    [
        (this_process(), "another run of this job is at work on "),
        (ELSEWHERE, "has not ended, and nothing was heard of it for 0 s; if it is dead, --take-over takes its place"),
    ],
)
def test_a_run_at_work_is_left_alone(
    orch: Callable[..., Any], job: Job, store: LocalStore, command: tuple[str, ...], process: Process, line: str
) -> None:
    lease = take(store, None, replace(new_holder("orch submit"), process=process))
    write_state(store, RunState("running", 0, 0, 4, run_id=lease.holder.run_id, process=process))
    before = store.sizes()
    further = [job.trials[0].id] if command[-1] == "--trials" else []
    assert line in orch(*command, *further, "--yes").mistake
    assert store.sizes() == before
    if process is ELSEWHERE:
        assert orch(*command, *further, "--yes", "--take-over").code == 0
        assert store.sizes() != before


@pytest.mark.parametrize("may_begin", [True, False])
def test_a_job_that_waits_on_a_cluster(
    orch: Callable[..., Any], job: Job, store: LocalStore, may_begin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.handover.outcome_of", lambda one: (f"{one}, which waits", may_begin))
    write_handover(store, Handover("http://head:8265", "orch-study-1", time.time()))
    ran = orch("rm", "study", "--yes")
    if may_begin:
        assert ran.mistake.startswith(
            f"{store.uri}: handed over to http://head:8265 as orch-study-1, which waits; wait "
        )
    assert ran.code == (2 if may_begin else 0)


def test_a_dead_run_s_place_is_taken(orch: Callable[..., Any], job: Job, store: LocalStore) -> None:
    take(store, None, replace(new_holder("orch rm"), process=DEAD))
    ran = orch("prune", "study", "--keep", "none", "--yes")
    assert ran.code == 0
    assert "ended without a word; this one takes its place" in ran.err


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_it_asks(
    orch: Callable[..., Any], job: Job, store: LocalStore, answer: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(f"{answer}\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    ran = orch("prune", "study", "--keep", "none")
    assert ran.code == code
    assert f"remove checkpoints of study from {store.sibling('x').uri[:-2]}: 6 files, 4.5 kB? [y/N] " in ran.err
    assert len(checkpoints(store)) == (8 if code else 2)


def test_storage_that_goes_down_is_told_and_gone_on_with(
    orch: Callable[..., Any], job: Job, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletes = type(store).delete

    def fail(self: LocalStore, key: str) -> None:
        if key.endswith(".best.pt"):
            raise StorageUnavailable(f"{self.uri}/{key}: storage is down")
        deletes(self, key)

    monkeypatch.setattr(type(store), "delete", fail)
    ran = orch("rm", "study", "--yes")
    assert ran.code == 2
    assert "files are gone; the same command goes on\n" in ran.err
    assert last_entry(store).holder.released  # type: ignore[union-attr]
    monkeypatch.setattr(type(store), "delete", deletes)
    assert orch("rm", "study", "--yes").code == 0
    assert store.keys() == ["notes.txt"]
