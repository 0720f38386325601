"""Commands that begin a run of a job on whose storage another is at work; those that only look need no lease."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import load_job
from orchestrator.state.files import write_job
from orchestrator.state.lease import new_holder, take
from orchestrator.state.process import Process, this_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.local import LocalStore

ELSEWHERE = Process("node7", 41, "another boot pid:[1]", "5")
BEGINNERS = [
    ("submit", "job.yaml"),
    ("submit", "job.yaml", "--address", "auto"),
    ("resume", "study"),
    ("evaluate", "study", "--kind", "quality", "--set", "samples=200"),
]


pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def held(folder: Path, store: LocalStore) -> Callable[[Process], None]:
    """Makes the job one that a process has begun to run."""

    def hold(process: Process) -> None:
        take(store, None, replace(new_holder("orch submit job.yaml"), process=process))
        write_job(store, load_job(folder / "job.yaml"))

    return hold


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", BEGINNERS, ids=" ".join)
def test_a_second_run_is_refused_before_it_starts_anything(
    orch: Callable[..., Any], folder: Path, store: LocalStore, held: Callable[..., None], command: tuple[str, ...]
) -> None:
    held(this_process())
    before = files(folder)
    for options in ((), ("--take-over",)):
        mistake = orch(*command, *options).mistake
        stop = f"wait for it, or stop it: orch cancel study --storage {folder}/results"
        assert mistake == f"{store.uri}: another run of this job is at work on {this_process()}; {stop}"
    assert files(folder) == before


@pytest.mark.parametrize("command", BEGINNERS, ids=" ".join)
def test_a_silent_one_needs_the_user_s_word(
    orch: Callable[..., Any], folder: Path, store: LocalStore, held: Callable[..., None], command: tuple[str, ...]
) -> None:
    held(ELSEWHERE)
    before = files(folder)
    assert orch(*command).mistake == (
        f"{store.uri}: another run of this job, on node7 (pid 41), has not ended, and nothing was heard of it for 0 s; "
        "if it is dead, --take-over takes its place"
    )
    assert files(folder) == before


def test_what_only_looks_needs_no_lease(orch: Callable[..., Any], folder: Path, held: Callable[..., None]) -> None:
    held(this_process())
    before = files(folder)
    for command in (
        ["plan", "job.yaml"],
        ["submit", "job.yaml", "--dry-run"],
        ["status", "study"],
    ):
        ran = orch(*command)
        assert ran.code == 0, ran.err
    after = files(folder)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("command", [("submit", "job.yaml"), ("evaluate", "job.yaml", "--kind", "quality")])
def test_a_look_takes_nothing_over(orch: Callable[..., Any], command: tuple[str, ...]) -> None:
    ran = orch(*command, "--dry-run", "--take-over")
    assert ran.code == 2
    assert "--take-over: has no effect with --dry-run" in ran.err
