"""A store that waits out an outage."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import NotFoundError, StorageRefused, StorageUnavailable
from orchestrator.store import retrying as module
from orchestrator.store.local import LocalStore
from orchestrator.store.retrying import RetryingStore


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Down(LocalStore):
    """A folder that does not answer until a time of the clock."""

    def __init__(self, root: Path, clock: Clock, until: float) -> None:
        super().__init__(root)
        self.clock, self.until, self.asked = clock, until, 0

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Fail while the outage lasts."""
        self.asked += 1
        if self.clock.now < self.until:
            raise StorageUnavailable("storage is down")
        return super().write(key, data, replace=replace)

    def child(self, folder: str) -> Down:
        """See Store."""
        return Down(Path(self.uri) / folder, self.clock, self.until)

    sibling = child


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_an_outage_within_its_patience_costs_time_only(tmp_path: Path, clock: Clock) -> None:
    down = Down(tmp_path, clock, until=20)
    store = RetryingStore(down, 60)
    assert store.write("a.txt", b"1")
    assert store.read("a.txt") == b"1"
    assert (down.asked, clock.now) == (11, 20)
    assert (store.uri, store.keys(), store.parallel_reads) == (down.uri, ["a.txt"], down.parallel_reads)


def test_a_longer_one_is_an_error_when_patience_ends(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StorageUnavailable, match="storage is down"):
        RetryingStore(Down(tmp_path, clock, until=61), 60).write("a.txt", b"1")
    assert clock.now <= 60


def test_who_is_in_a_hurry_waits_no_longer(tmp_path: Path, clock: Clock) -> None:
    """Nor does who waits already: what another thread does as it sleeps is played by the clock."""
    store = RetryingStore(Down(tmp_path, clock, until=60), 60)
    sleep = clock.sleep

    def interrupted(seconds: float) -> None:
        store.hurry()
        sleep(seconds)

    clock.sleep = interrupted  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            store.write("a.txt", b"1")
    assert clock.now == 2


def test_a_quick_one_waits_for_nothing(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StorageUnavailable):
        RetryingStore(Down(tmp_path, clock, until=60), 60).quick().write("a.txt", b"1")
    assert clock.now == 0


def test_other_errors_are_raised_at_once(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(NotFoundError):
        RetryingStore(LocalStore(tmp_path), 60).read("nothing")
    assert clock.now == 0


def test_a_child_is_as_patient(tmp_path: Path, clock: Clock) -> None:
    store = RetryingStore(LocalStore(tmp_path), 60).child("job")
    assert store.write("a.txt", b"1", replace=False)
    assert not store.write("a.txt", b"2", replace=False)
    store.check()
    assert (store.exists("a.txt"), store.exists("b.txt")) == (True, False)
    store.delete("a.txt")
    assert store.keys() == []
    assert isinstance(store, RetryingStore)


def test_who_waits_says_for_what_before_each_pause_and_is_told_whether_to_wait_on(tmp_path: Path, clock: Clock) -> None:
    heard: list[str] = []

    def on_wait(problem: str) -> bool:
        heard.append(problem)
        return len(heard) < 3

    store = RetryingStore(Down(tmp_path, clock, until=60), 60, on_wait).child("job")
    with pytest.raises(StorageUnavailable):
        store.write("a.txt", b"1")
    assert (heard, clock.now) == (["storage is down"] * 3, 4)


def test_a_hurry_reaches_the_stores_that_were_made_from_one(tmp_path: Path, clock: Clock) -> None:
    store = RetryingStore(Down(tmp_path, clock, until=60), 60)
    others = store.child("a"), store.sibling("b")
    assert not store.hurried
    store.hurry()
    assert store.hurried
    for other in others:
        with pytest.raises(StorageUnavailable):
            other.write("a.txt", b"1")
    assert clock.now == 0


class Refused(LocalStore):
    """A folder that nobody may write to."""

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Refuse."""
        raise StorageRefused("read-only")


def test_what_no_waiting_mends_is_raised_at_once(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StorageRefused):
        RetryingStore(Refused(tmp_path), 60).write("a.txt", b"1")
    assert clock.now == 0
