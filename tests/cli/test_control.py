"""logs and cancel, against a run that a thread plays in storage."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import control
from orchestrator.state import liveness
from orchestrator.state.files import NO_SUCH_JOB, RunState, asked_to_cancel, forget_cancel, write_state
from orchestrator.state.log import RunLog
from orchestrator.state.process import Process, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.store.local import LocalStore


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_POLL_S", 0.01)
    monkeypatch.setattr(liveness, "POLL_S", 0.01)
    monkeypatch.setattr(liveness, "LISTEN_S", 0.2)


HERE = this_process()
ELSEWHERE = Process("node7", 1, "another boot pid:[1]", "5")
HOUR_S = 3600


def dead_process() -> Process:
    """One of this machine that exists no longer."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pid = child.pid
    return replace(HERE, pid=pid)


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function in a thread while a command is at work; what it raises fails the test."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(play: Callable[[], None]) -> None:
        def run() -> None:
            try:
                play()
            except BaseException as error:
                errors.append(error)
                raise

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
    assert errors == []


def running(**changes: Any) -> RunState:
    now = time.time()
    state = RunState("running", now, now, 4, run_id="a1", process=HERE)
    return replace(state, **changes)


def said(text: str) -> list[str]:
    return [line[21:] for line in text.splitlines()]


def test_logs_of_a_run_that_has_ended(orch: Callable[..., Any], store: LocalStore) -> None:
    log = RunLog(store)
    for word in ("one", "two [red]", "three"):
        log.add(word)
    log.end()
    assert said(orch("logs", "study").out) == ["one", "two [red]", "three"]
    assert said(orch("logs", "study", "-f").out) == ["one", "two [red]", "three"]
    assert said(orch("logs", "study", "--lines", "1").out) == ["three"]
    assert said(orch("logs", "study", "--lines", "9").out) == ["one", "two [red]", "three"]
    assert said(orch("logs", "study", "--lines", "0", "-f").out) == []


def test_a_log_is_followed_to_its_end(
    orch: Callable[..., Any], store: LocalStore, beside: Callable[[Callable[[], None]], None]
) -> None:
    log = RunLog(store)
    log.add("one")
    log.write()
    write_state(store, running())

    def run() -> None:
        for word in ("two", "three"):
            time.sleep(0.1)
            log.add(word)
            log.write()
        write_state(store, running(state="done"))
        time.sleep(0.1)
        log.add("report")
        log.end()

    beside(run)
    ran = orch("logs", "study", "-f")
    assert (ran.code, ran.err, said(ran.out)) == (0, "", ["one", "two", "three", "report"])


def test_a_run_that_has_not_begun_is_waited_for(
    orch: Callable[..., Any], store: LocalStore, beside: Callable[[Callable[[], None]], None]
) -> None:
    def run() -> None:
        time.sleep(0.2)
        log = RunLog(store)
        log.add("one")
        log.end()

    beside(run)
    assert said(orch("logs", "study", "-f").out) == ["one"]


def test_a_run_that_never_begins(orch: Callable[..., Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert orch("logs", "study").mistake == f"{store.uri}: {NO_SUCH_JOB}"
    store.write("job.yaml", b"")
    assert orch("logs", "study").mistake == f"{store.uri}: no log; 'orch submit' makes one, --storage looks elsewhere"
    monkeypatch.setattr(control, "_BEGIN_S", 0.1)
    assert orch("logs", "study", "-f").mistake == f"{store.uri}: no run has begun in 0 s; --address shows Ray's own log"


def test_following_a_run_that_died(
    orch: Callable[..., Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine its process tells, elsewhere that nothing changes any more, by the clock of who follows."""
    log = RunLog(store)
    log.add("one")
    log.write()
    write_state(store, running(process=dead_process()))
    ran = orch("logs", "study", "-f")
    assert (ran.code, said(ran.out)) == (2, ["one"])
    assert ran.err == f"error: {store.uri}: the run's process is gone; 'orch resume' goes on\n"

    monkeypatch.setattr(control, "_SILENT_S", 0.1)
    for skew_s in (-HOUR_S, 0, HOUR_S):
        write_state(store, running(process=ELSEWHERE, updated_at=time.time() + skew_s))
        ran = orch("logs", "study", "-f")
        assert (ran.code, said(ran.out)) == (2, ["one"])
        assert ran.err == f"error: {store.uri}: no sign of life for 0 s; 'orch resume' goes on\n"


@pytest.mark.parametrize(
    ("ends", "line"),
    [
        ({"state": "cancelled", "ended": 1}, "cancelled: 1 of 4 trials had ended"),
        ({"state": "done", "ended": 4}, "done, before it could be cancelled: 4 of 4 trials had ended"),
        ({"run_id": "b2"}, "that run has given way to another"),
    ],
)
def test_a_run_is_asked_to_stop_and_waited_for(
    orch: Callable[..., Any],
    store: LocalStore,
    beside: Callable[[Callable[[], None]], None],
    ends: dict[str, Any],
    line: str,
) -> None:
    state = running()
    write_state(store, state)

    def run() -> None:
        give_up = time.monotonic() + 20
        while not asked_to_cancel(store, state):
            assert time.monotonic() < give_up
            time.sleep(0.01)
        write_state(store, running(**ends))
        forget_cancel(store)

    beside(run)
    ran = orch("cancel", "study")
    assert (ran.code, ran.out, ran.err) == (0, f"{line}\n", "asked the run of study to stop\n")


def test_a_run_that_does_not_listen(
    orch: Callable[..., Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state(store, running())
    monkeypatch.setattr(control, "_OBEY_S", 0.1)
    ran = orch("cancel", "study")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(
        f"error: {store.uri}: the run has not stopped in 0 s; it will as soon as it reads the request\n"
    )


def test_nothing_to_cancel(orch: Callable[..., Any], store: LocalStore) -> None:
    assert orch("cancel", "study").mistake == f"{store.uri}: {NO_SUCH_JOB}"
    store.write("job.yaml", b"")
    assert orch("cancel", "study").mistake == f"{store.uri}: no run is at work on it"
    for state in (running(state="done"), running(process=dead_process())):
        write_state(store, state)
        assert orch("cancel", "study").mistake.startswith(
            f"{store.uri}: no run is at work on it: {state.state}, last sign of life "
        )
    write_state(store, running(process=ELSEWHERE, updated_at=time.time() - 2 * HOUR_S))
    mistake = orch("cancel", "study").mistake
    assert mistake == f"{store.uri}: no run is at work on it: running, last sign of life 2 h 00 min ago"
    write_state(store, running(process=ELSEWHERE, updated_at=time.time() + HOUR_S))
    assert orch("cancel", "study").mistake == f"{store.uri}: no run is at work on it: running"


@pytest.mark.parametrize("skew_s", [-HOUR_S, 0, HOUR_S])
def test_a_run_elsewhere_is_alive_while_it_beats_whatever_its_clock_says(
    orch: Callable[..., Any],
    store: LocalStore,
    folder: Path,
    beside: Callable[[Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    skew_s: int,
) -> None:
    store.write("job.yaml", (folder / "job.yaml").read_bytes())
    over = threading.Event()

    def beat() -> None:
        number = 0
        while not over.wait(0.02):
            number += 1
            write_state(store, running(process=ELSEWHERE, updated_at=time.time() + skew_s, beat=number))

    write_state(store, running(process=ELSEWHERE, updated_at=time.time() + skew_s))
    monkeypatch.setattr(liveness, "LISTEN_S", 20)
    beside(beat)
    try:
        alive = orch("status", "study").out
    finally:
        over.set()
    assert alive.startswith("study: running; ")
    assert "last sign of life" not in alive


@pytest.mark.parametrize("skew_s", [-HOUR_S, 0, HOUR_S])
def test_a_run_elsewhere_that_is_silent_is_not_running(
    orch: Callable[..., Any], store: LocalStore, folder: Path, skew_s: int
) -> None:
    store.write("job.yaml", (folder / "job.yaml").read_bytes())
    write_state(store, running(process=ELSEWHERE, updated_at=time.time() + skew_s))
    silent = orch("status", "study").out
    assert silent.startswith("study: not running; ")
    assert ("last sign of life" in silent) is (skew_s <= 0)


@pytest.mark.parametrize("command", ["submit", "plan", "resume", "evaluate", "logs", "cancel"])
@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("head:8265", "'head:8265'"),
        ("ray://head:10001", "'ray://head:10001'"),
        ("http://", "'http://'"),
        ("http://head:99999", "'http://head:99999'"),
        ("", "''"),
    ],
)
def test_what_is_no_address(
    orch: Callable[..., Any], store: LocalStore, folder: Path, command: str, address: str, shown: str
) -> None:
    store.write("job.yaml", (folder / "job.yaml").read_bytes())
    line = f"--address: got {shown}, expected auto, or the URL of a Ray dashboard, such as http://head:8265"
    options = ["--kind", "quality"] if command == "evaluate" else []
    assert orch(command, "job.yaml", *options, "--address", address).mistake == line


def test_an_address_never_holds_a_password(orch: Callable[..., Any]) -> None:
    mistake = orch("submit", "job.yaml", "--address", "http://me:hush@head:8265").mistake
    assert mistake.startswith("--address: takes no user's name or password")
    assert "hush" not in mistake


def test_leaving_needs_somewhere_to_leave_a_job(orch: Callable[..., Any]) -> None:
    for arguments in (("--detach",), ("--detach", "--address", "auto")):
        assert orch("submit", "job.yaml", *arguments).mistake == (
            "--detach: needs --address with the URL of a cluster, to which the job is left"
        )
