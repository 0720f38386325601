"""The driver's sign of life: what it writes, how it hears that it is to stop, and that storage never holds it up."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import LeaseLostError, NotFoundError, StorageError, StorageUnavailable
from orchestrator.runtime import heartbeat
from orchestrator.runtime.heartbeat import Heartbeat
from orchestrator.runtime.interrupt import terminated_as_interrupted
from orchestrator.state import lease as lease_module
from orchestrator.state.files import Nodes, ask_to_cancel, asked_to_cancel, read_state, write_state
from orchestrator.state.lease import last_entry, new_holder, take
from orchestrator.state.log import RunLog, read_log
from orchestrator.store.guarded import GuardedStore
from orchestrator.store.local import LocalStore
from orchestrator.store.retrying import RetryingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_EVERY_S", 0.02)
    monkeypatch.setattr(heartbeat, "_RETRY_S", 0.02)
    monkeypatch.setattr(heartbeat, "_LAST_S", 0.2)
    monkeypatch.setattr(lease_module, "_CHECK_S", 0.0)


class Moody(LocalStore):
    """A folder that fails as a test asks it to, by key."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.errors: dict[str, Exception] = {}

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store."""
        self._fail(key)
        return super().read(key, limit)

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store."""
        self._fail(key)
        return super().write(key, data, replace=replace)

    def _fail(self, key: str) -> None:
        for part, error in self.errors.items():
            if part in key:
                raise error


@pytest.fixture
def store(tmp_path: Path) -> Moody:
    return Moody(tmp_path / "study")


@pytest.fixture
def beat(store: Moody) -> Callable[..., Heartbeat]:
    """Makes the heartbeat of a new run, which has ``log`` and the lines it heard in ``heard``."""

    def make(to_run: int = 1) -> Heartbeat:
        lease = take(store, last_entry(store), new_holder("orch submit job.yaml"))
        guarded = RetryingStore(GuardedStore(store, lease))
        log = RunLog(guarded.quick())
        return Heartbeat(lease, guarded, log, log.add, to_run)

    return make


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def state_of(store: LocalStore) -> str:
    state = read_state(store)
    assert state is not None
    return state.state


def released(store: LocalStore) -> bool:
    entry = last_entry(store)
    return entry is not None and entry.holder is not None and entry.holder.released


def test_state_and_log_are_kept_fresh_without_a_tick(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    counts = iter([Nodes(3, 1, 0), None])
    with beat(2) as run:
        run.on_cluster(lambda: next(counts, None))
        first = read_state(store)
        assert first is not None
        assert (first.state, first.to_run, first.run_id) == ("running", 2, run.lease.holder.run_id)
        run.log.add("one")
        wait_until(lambda: any("one" in line for line in read_log(store).lines))
        wait_until(lambda: (state := read_state(store)) and state.beat > first.beat + 2)
        later = read_state(store)
        assert later is not None
        assert later.updated_at > first.updated_at
        assert later.nodes == Nodes(3, 1, 0)  # what was last known
        assert not released(store)
    assert state_of(store) == "interrupted"
    assert released(store)


def test_a_run_with_nothing_left_is_done_while_its_report_is_written(
    store: Moody, beat: Callable[..., Heartbeat]
) -> None:
    with beat(0) as run:
        assert run.finish() == ""
        assert state_of(store) == "done"
        before = read_state(store)
        wait_until(lambda: read_state(store) != before)  # others hear that the lease is held
        assert not released(store)
    assert state_of(store) == "done"


def interrupted_soon(run: Heartbeat) -> None:
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt), run.interrupting():
        time.sleep(20)


def test_word_to_stop_comes_as_ctrl_c_once(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    with beat() as run:
        ask_to_cancel(store, run.state)
        interrupted_soon(run)
        with terminated_as_interrupted():
            time.sleep(0.2)  # a second one would end the test run
        assert asked_to_cancel(store, run.state)
    assert state_of(store) == "cancelled"
    assert not asked_to_cancel(store, run.state)


def test_word_that_comes_before_it_can_be_obeyed_is_obeyed_then(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    with beat() as run:
        ask_to_cancel(store, run.state)
        wait_until(lambda: run.cancelled)
        interrupted_soon(run)


def test_word_for_an_earlier_run_is_removed(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    with beat() as earlier:
        pass
    ask_to_cancel(store, earlier.state)
    with beat() as run:
        wait_until(lambda: run.state.beat > 3)
        assert not run.cancelled
        assert not asked_to_cancel(store, earlier.state)


def test_sigterm_is_ctrl_c_for_a_while() -> None:
    def terminated() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)

    before = signal.getsignal(signal.SIGTERM)
    with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt):
        terminated()
    assert signal.getsignal(signal.SIGTERM) is before


DOWN = StorageUnavailable("the bucket is down")


def test_an_outage_is_said_once_and_the_beats_go_on_after_it_with_the_word_to_stop(
    store: Moody, beat: Callable[..., Heartbeat]
) -> None:
    with beat() as run:
        ask_to_cancel(LocalStore(Path(store.uri)), run.state)
        store.errors = {"": DOWN}
        wait_until(lambda: "the bucket is down" in str(run.log))
        time.sleep(0.2)
        assert str(run.log).count("the bucket is down") == 1
        assert not run.cancelled
        store.errors = {}
        interrupted_soon(run)
        wait_until(lambda: any("note: the bucket is down" in line for line in read_log(store).lines))
    assert state_of(store) == "cancelled"


@pytest.mark.parametrize("key", ["cancel.json", "run.json", "run.log"])
@pytest.mark.parametrize(
    "error",
    [StorageError("permission denied"), NotFoundError("no such object"), RecursionError("too deep"), OSError()],
    ids=lambda error: type(error).__name__,
)
def test_no_error_ends_the_beats(store: Moody, beat: Callable[..., Heartbeat], key: str, error: Exception) -> None:
    """Each of the other files is still written and read, and the error is said once."""
    with beat() as run:
        store.errors = {key: error}
        line = f"note: {error or type(error).__name__}"
        expected = 0 if key == "cancel.json" and isinstance(error, NotFoundError) else 1
        wait_until(lambda: str(run.log).count(line) == expected)
        if key != "run.json":
            seen = run.state.beat
            wait_until(lambda: (state := read_state(store)) and state.beat > seen + 3)
        if key != "run.log":
            run.log.add("more")
            wait_until(lambda: any("more" in text for text in read_log(store).lines))
        assert str(run.log).count(line) == expected
        if key != "cancel.json":
            ask_to_cancel(store, run.state)
            interrupted_soon(run)
        store.errors = {}
    assert released(store)


def test_the_end_does_not_wait_for_storage_that_is_down(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    """The store in use is as patient as that of a run, for five minutes, in which the test would time out."""
    with beat() as run:
        store.errors = {"": DOWN}
        assert run.finish() == "the bucket is down"
    assert "note: the run's last state could not be stored: the bucket is down" in str(run.log)
    store.errors = {}
    assert state_of(store) == "running"
    assert not released(store)


def test_the_end_of_the_log_is_made_up_for(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    with beat() as run:
        run.finish()
        store.errors = {"run.log": DOWN}
        with pytest.raises(StorageUnavailable):
            run.log.end()
        store.errors = {}
    assert read_log(store).ended
    assert released(store)


def test_who_waits_for_storage_stops_waiting_when_the_run_is_to_end(
    store: Moody, beat: Callable[..., Heartbeat]
) -> None:
    caught: list[Exception] = []

    def train(run: Heartbeat) -> None:
        try:
            run.store.write("trials/a.parquet", b"")
        except StorageUnavailable as error:
            caught.append(error)

    with beat() as run:
        store.errors = {"trials": DOWN}
        thread = threading.Thread(target=train, args=[run])
        thread.start()
        ask_to_cancel(store, run.state)
        wait_until(lambda: run.cancelled)
        thread.join(20)
        assert caught == [DOWN]


@pytest.fixture
def replaced(store: Moody, beat: Callable[..., Heartbeat]) -> Iterator[Heartbeat]:
    """The heartbeat of a run whose lease another has taken, which has written a state and a log of its own."""
    with beat() as run:
        wait_until(lambda: run.state.beat > 1)
        other = take(store, last_entry(store), new_holder("orch submit --take-over job.yaml"))
        write_state(store, run.state.__class__("running", 0.0, 0.0, 9, run_id=other.holder.run_id))
        store.write("run.log", b"the other's")
        wait_until(lambda: run.lost)
        yield run


def test_a_run_that_was_replaced_stops_and_writes_nothing_over_the_other_s(store: Moody, replaced: Heartbeat) -> None:
    interrupted_soon(replaced)
    state, entry = read_state(store), last_entry(store)
    with pytest.raises(LeaseLostError) as caught:
        replaced.finish()
    assert str(caught.value).startswith(f"{store.uri}/lease/00000001.json: another run of this job took over, on ")
    for act in (
        lambda: replaced.store.write("trials/a.parquet", b"", replace=False),
        lambda: replaced.store.delete("cancel.json"),
        replaced.log.end,
    ):
        with pytest.raises(LeaseLostError):
            act()
    replaced.__exit__()
    assert (read_state(store), last_entry(store), store.read("run.log")) == (state, entry, b"the other's")
    assert store.keys("trials") == []


def test_a_folder_that_comes_back_in_time_ends_no_run(store: Moody, beat: Callable[..., Heartbeat]) -> None:
    root = Path(store.uri)
    with beat() as run:
        wait_until(lambda: run.state.beat > 1)
        root.rename(root.with_name("away"))
        wait_until(lambda: "was moved away or removed while in use" in str(run.log))
        time.sleep(0.1)
        assert not root.exists()
        root.with_name("away").rename(root)
        seen = run.state.beat
        wait_until(lambda: run.state.beat > seen + 2)
        assert run.lost is None
    assert state_of(store) == "interrupted"
    assert released(store)


def test_a_folder_that_stays_away_ends_the_run_in_one_line(
    store: Moody, beat: Callable[..., Heartbeat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_MOVED_S", 0.1)
    root = Path(store.uri)
    with beat() as run:
        wait_until(lambda: run.state.beat > 1)
        root.rename(root.with_name("away"))
        interrupted_soon(run)
        with pytest.raises(LeaseLostError) as caught:
            run.finish()
        assert str(caught.value) == (
            f"{root}: was moved away or removed while in use; put it back, then go on with orch resume; "
            "this run has stopped"
        )
    assert not root.exists()


@pytest.mark.parametrize(
    "content", [b"[" * 1_000_000, b'{"run": ' * 100_000, b"1" * 100_000, b'{"run": 1e999}', b"\x00" * 9_000_000]
)
def test_no_word_to_stop_ends_the_beats(store: Moody, beat: Callable[..., Heartbeat], content: bytes) -> None:
    with beat() as run:
        store.write("cancel.json", content)
        seen = run.state.beat
        wait_until(lambda: (state := read_state(store)) and state.beat > seen + 2)
        ask_to_cancel(store, run.state)
        interrupted_soon(run)


def test_a_run_whose_process_is_to_end_at_once_has_failed_and_gives_the_lease_back(
    store: Moody, beat: Callable[..., Heartbeat]
) -> None:
    run = beat()
    run.__enter__()
    thread = threading.Thread(target=run.abort)
    thread.start()
    thread.join(20)
    assert state_of(store) == "failed"
    assert released(store)
    seen = read_state(store)
    time.sleep(0.1)
    assert read_state(store) == seen


def test_what_is_to_be_done_with_each_beat_is_done_while_storage_is_down(
    store: Moody, beat: Callable[..., Heartbeat]
) -> None:
    beats: list[int] = []
    with beat() as run:
        run.on_beat(lambda: beats.append(0))
        store.errors = {"": DOWN}
        seen = len(beats)
        wait_until(lambda: len(beats) > seen + 2)
        store.errors = {}
