"""How a run ends that is interrupted, whose storage fails, or whose place another takes; its sweep is played."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from orchestrator.errors import DataError, StorageUnavailable
from orchestrator.runtime import heartbeat, local
from orchestrator.runtime.interrupt import interrupts_deferred
from orchestrator.state import lease as lease_module
from orchestrator.state.files import ask_to_cancel, read_state
from orchestrator.state.lease import last_entry, new_holder, take
from orchestrator.state.log import read_log
from orchestrator.store import retrying
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.retrying import RetryingStore


@pytest.fixture
def submit(
    orch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, store: LocalStore
) -> Callable[[Callable[[], None]], Any]:
    """Submits the job; what is given is done in the place of its sweep, which then goes on until it is interrupted."""
    monkeypatch.setattr(heartbeat, "_EVERY_S", 0.02)
    monkeypatch.setattr(heartbeat, "_RETRY_S", 0.02)
    monkeypatch.setattr(heartbeat, "_LAST_S", 0.1)
    monkeypatch.setattr(lease_module, "_CHECK_S", 0.0)
    monkeypatch.setattr(local, "local_ray", lambda *_, **__: contextlib.nullcontext())

    def submit(play: Callable[[], None]) -> Any:
        def run_sweep(_plan: object, store: RetryingStore, *_: object) -> NoReturn:
            with interrupts_deferred(store.hurry) as check:
                play()
                with contextlib.suppress(StorageUnavailable):
                    store.write("samples/late", b"")
                check()
            time.sleep(60)
            raise AssertionError("was not interrupted")

        monkeypatch.setitem(sys.modules, "orchestrator.runtime.sweep", SimpleNamespace(run_sweep=run_sweep))
        return orch("submit", "job.yaml")

    return submit


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupted(submit: Callable[..., Any], store: LocalStore) -> None:
    ran = submit(interrupt)
    assert (ran.code, ran.out) == (130, "")
    line = "interrupted; every trial keeps its last state, go on with: orch submit job.yaml"
    assert ran.err.splitlines()[-1] == line
    state, entry = read_state(store), last_entry(store)
    assert state is not None
    assert entry is not None
    assert entry.holder is not None
    assert (state.state, state.run_id, entry.holder.released) == ("interrupted", entry.holder.run_id, True)
    assert read_log(store).ended


def test_failed_by_an_error_of_its_own(submit: Callable[..., Any], store: LocalStore) -> None:
    def play() -> None:
        raise DataError("imgs: gone")

    ran = submit(play)
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "error: imgs: gone")
    state, entry = read_state(store), last_entry(store)
    assert state is not None
    assert state.state == "failed"
    assert entry is not None
    assert entry.holder is not None
    assert entry.holder.released
    assert "error: imgs: gone" in read_log(store).lines[-1]


def test_cancelled(submit: Callable[..., Any], store: LocalStore) -> None:
    def play() -> None:
        state = read_state(store)
        assert state is not None
        ask_to_cancel(store, state)

    ran = submit(play)
    assert (ran.code, ran.out) == (130, "")
    assert "cancelled; every trial keeps its last state, go on with: " in ran.err


def test_the_hours_of_a_run_have_passed(submit: Callable[..., Any], store: LocalStore, folder: Path) -> None:
    """Whether its trials have ended or not: here none has, and another run goes on."""
    job = folder / "job.yaml"
    job.write_text(f"{job.read_text()}resources: {{max_hours: 1.0e-9}}\n")
    ran = submit(lambda: None)
    assert (ran.code, ran.out) == (124, "")
    assert ran.err.splitlines()[-2:] == [
        "the hours of resources.max_hours have passed: the run ends",
        "timeout; every trial keeps its last state, go on with: orch submit job.yaml",
    ]
    state, entry = read_state(store), last_entry(store)
    assert state is not None
    assert state.state == "timeout"
    assert entry is not None
    assert entry.holder is not None
    assert entry.holder.released
    assert read_log(store).ended


def test_interrupted_while_storage_is_down(
    submit: Callable[..., Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a request of the main thread is made for minutes nor the look at the lease that goes before it."""
    asked = itertools.count()
    monkeypatch.setattr(retrying, "_PAUSE_S", 0.02)

    def play() -> None:
        def down(*_: object, **__: object) -> NoReturn:
            assert next(asked) < 500, "storage that is down is waited for"
            raise StorageUnavailable("the bucket is down")

        for name in ("read", "write", "keys", "delete", "exists"):
            monkeypatch.setattr(LocalStore, name, down)
        interrupt()

    ran = submit(play)
    monkeypatch.undo()
    assert (ran.code, ran.out) == (130, "")
    *_, line, log, state = ran.err.splitlines()
    assert line == ("interrupted; the last states could not be stored, go on from what was: orch submit job.yaml")
    assert log == "note: the bucket is down"
    assert state == "note: the run's last state could not be stored: the bucket is down"


def test_replaced(submit: Callable[..., Any], folder: Path, store: LocalStore) -> None:
    kept: dict[str, bytes] = {}

    def play_other() -> None:
        take(store, last_entry(store), new_holder("orch submit job.yaml --take-over"))
        for name in ("run.json", "run.log"):
            store.write(name, b"the other's")
        kept.update({str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()})

    ran = submit(play_other)
    assert (ran.code, ran.out) == (2, "")
    errors = [line for line in ran.err.splitlines() if "took over" in line]
    assert errors[-1].startswith(f"error: {store.uri}/lease/00000001.json: another run of this job took over, on ")
    assert "keeps its last state" not in ran.err
    assert {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept


@pytest.mark.parametrize(("verb", "next_verb"), [("submit", "resume"), ("evaluate", "evaluate")])
def test_a_run_that_was_handed_over_is_gone_on_with_from_elsewhere(
    submit: Callable[..., Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch, verb: str, next_verb: str
) -> None:
    """One that only evaluates is not told to train."""
    monkeypatch.setenv("ORCH_ADDRESS", "http://head:8265")

    def play() -> None:
        monkeypatch.setattr(sys, "argv", ["orch", verb, "job.yaml"])
        interrupt()

    storage = store.uri.removesuffix("/study")
    line = f"go on with: orch {next_verb} study --storage {storage} --address http://head:8265"
    assert submit(play).err.splitlines()[-1].endswith(line)


def test_storage_that_is_moved_away_and_stays_away(
    submit: Callable[..., Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with the place that is gone, and nothing is made there again."""
    monkeypatch.setattr(heartbeat, "_MOVED_S", 0.1)
    monkeypatch.setattr(retrying, "_PAUSE_S", 0.02)
    root = Path(store.uri)
    ran = submit(lambda: (root.rename(root.with_name("moved")), time.sleep(1)))
    assert (ran.code, ran.out) == (2, "")
    last = ran.err.splitlines()[-1]
    assert last == (
        f"error: {root}: was moved away or removed while in use; put it back, then go on with orch resume; "
        "this run has stopped"
    )
    assert not root.exists()
    assert (root.with_name("moved") / "job.yaml").is_file()


def test_storage_that_is_moved_away_and_back(submit: Callable[..., Any], store: LocalStore) -> None:
    root = Path(store.uri)

    def play() -> None:
        root.rename(root.with_name("moved"))
        time.sleep(0.2)
        root.with_name("moved").rename(root)
        interrupt()

    ran = submit(play)
    assert ran.code == 130
    assert store.exists("samples/late")
    assert read_log(store).ended


def test_what_a_killed_run_left_half_written_is_removed(submit: Callable[..., Any], store: LocalStore) -> None:
    store.write("trials/notes", b"mine")
    left = Path(store.uri, "trials", f".orch-tmp-{'0' * 16}")
    left.write_bytes(b"half")
    submit(interrupt)
    assert not left.exists()
    assert store.exists("trials/notes")
