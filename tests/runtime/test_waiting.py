"""That storage is waited for is said once, whichever process waits, and once that it is over."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from orchestrator.runtime import waiting
from orchestrator.runtime.waiting import WaitNotice
from orchestrator.store.local import LocalStore
from orchestrator.store.retrying import RetryingStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    """What Ray's head would keep."""
    kept: dict[bytes, bytes] = {}
    monkeypatch.setattr(waiting, "_put", kept.__setitem__)
    monkeypatch.setattr(waiting, "_get", kept.get)
    monkeypatch.setattr(waiting, "_QUIET_S", 0.0)
    return kept


def test_a_worker_s_waiting_is_said_once_and_its_end_once(tmp_path: Path, words: dict[bytes, bytes]) -> None:
    said: list[str] = []
    driver = WaitNotice("run", said.append)
    workers = [copy.copy(driver) for _ in range(2)]
    store = RetryingStore(LocalStore(tmp_path), on_wait=driver)
    driver.poll(store)
    assert said == []
    for worker in workers:
        assert worker("a.pt: the disk is full")
    driver._note("b.pt: the disk is full")  # of the driver's own
    assert said == ["waiting for storage, for up to five minutes: b.pt: the disk is full"]
    for _ in range(2):
        for worker in workers:
            assert worker("a.pt: the disk is full")
    driver.poll(store)
    driver.poll(store)
    assert said[1:] == ["storage can be used again; the run goes on"]


def test_a_hurry_ends_the_waiting_of_workers(tmp_path: Path, words: dict[bytes, bytes]) -> None:
    driver = WaitNotice("run", lambda line: None)
    store = RetryingStore(LocalStore(tmp_path), on_wait=driver)
    worker = copy.copy(driver)
    driver.poll(store)
    assert worker("down")
    store.hurry()
    driver.poll(store)
    assert not worker("down")
    assert copy.copy(WaitNotice("another"))("down")


def test_without_ray_nobody_hears_and_nothing_breaks() -> None:
    assert waiting._request(lambda head: 1 / 0) is None
