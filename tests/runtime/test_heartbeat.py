"""The driver's sign of life: what it writes, and how it hears that it is to stop."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import StorageUnavailable
from orchestrator.plan.files import Nodes, ask_to_cancel, asked_to_cancel, read_state, write_state
from orchestrator.plan.log import RunLog, read_log
from orchestrator.runtime import heartbeat
from orchestrator.runtime.heartbeat import Heartbeat
from orchestrator.runtime.interrupt import terminated_as_interrupted
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_EVERY_S", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "study")


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def state_of(store: LocalStore) -> str:
    state = read_state(store)
    assert state is not None
    return state.state


def test_state_and_log_are_kept_fresh_without_a_tick(store: LocalStore) -> None:
    log = RunLog(store)
    counts = iter([Nodes(3, 1, 0), None])
    beat = Heartbeat(store, log, 2)
    beat.on_cluster("http://head:8265", "orch-study-1", lambda: next(counts, None))
    with beat:
        first = read_state(store)
        assert first is not None
        assert (first.state, first.to_run, first.nodes) == ("running", 2, None)
        log.say("one")
        wait_until(lambda: read_log(store).lines)
        wait_until(lambda: next(counts, "all") == "all")
        later = read_state(store)
        assert later is not None
        assert later.updated_at > first.updated_at
        assert (later.address, later.submission_id) == ("http://head:8265", "orch-study-1")
        assert later.nodes == Nodes(3, 1, 0)  # what was last known
    assert state_of(store) == "interrupted"


def test_a_run_with_nothing_left_is_done(store: LocalStore) -> None:
    with Heartbeat(store, RunLog(store), 0):
        pass
    assert state_of(store) == "done"


def test_word_to_stop_comes_as_ctrl_c_once(store: LocalStore) -> None:
    beat = Heartbeat(store, RunLog(store), 1)
    with terminated_as_interrupted(), beat:
        ask_to_cancel(store, beat.state)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
        time.sleep(0.2)  # a second one would end the test run
        assert asked_to_cancel(store, beat.state)
    assert state_of(store) == "cancelled"
    assert not asked_to_cancel(store, beat.state)


def test_word_for_an_earlier_run_is_removed(store: LocalStore) -> None:
    earlier = Heartbeat(store, RunLog(store), 1).state
    ask_to_cancel(store, earlier)
    time.sleep(0.01)
    with Heartbeat(store, RunLog(store), 1) as beat:
        time.sleep(0.2)
        assert not beat.cancelled
        assert not asked_to_cancel(store, earlier)


def test_sigterm_is_ctrl_c_for_a_while() -> None:
    def terminated() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)

    before = signal.getsignal(signal.SIGTERM)
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt):
        terminated()
    assert signal.getsignal(signal.SIGTERM) is before


def test_storage_that_is_down_for_a_while_stops_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise StorageUnavailable("the bucket is down")

    log = RunLog(store)
    with Heartbeat(store, log, 1):
        monkeypatch.setattr(heartbeat, "write_state", down)
        wait_until(lambda: "the bucket is down" in str(log))
        monkeypatch.setattr(heartbeat, "write_state", write_state)
        wait_until(lambda: any("note: the bucket is down" in line for line in read_log(store).lines))
    assert state_of(store) == "interrupted"
