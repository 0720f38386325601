"""One run of a job at a time: leases in a folder and on S3, on storages that honour their condition and that do not."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from orchestrator.errors import LeaseError, LeaseLostError, StorageUnavailable
from orchestrator.state import lease as lease_module
from orchestrator.state import liveness
from orchestrator.state.files import RunState, write_state
from orchestrator.state.lease import Entry, Holder, Lease, last_entry, new_holder, take
from orchestrator.state.liveness import free_entry
from orchestrator.state.process import Process, this_process
from orchestrator.store.guarded import GuardedStore
from orchestrator.store.local import LocalStore
from orchestrator.store.retrying import RetryingStore
from orchestrator.store.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.store.location import Store

MANY = 12
ELSEWHERE = Process("node7", 41, "another boot pid:[1]", "5")
DEAD = replace(this_process(), started="1")
"""This process's id, as a process of this machine had it that ended long ago."""
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_CHECK_S", 0.0)
    monkeypatch.setattr(liveness, "POLL_S", 0.01)
    monkeypatch.setattr(liveness, "LISTEN_S", 0.1)


@pytest.fixture(
    params=[
        "folder",
        "no hard links",
        pytest.param("s3", marks=slow),
        pytest.param("s3 ignores the condition", marks=slow),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The root of a job on each kind of storage."""
    if request.param.startswith("s3"):
        if "ignores" in request.param:
            proxy = request.getfixturevalue("s3_proxy")
            proxy.dropped_headers = {"if-none-match"}
            # Whoever looks sees nothing, as where all look before any has written.
            proxy.answer = lambda method, *_: (404, "") if method == "HEAD" else None
        return S3Store(request.getfixturevalue("s3_bucket"), "lab/study")
    if request.param == "no hard links":

        def refuse(*_: object, **__: object) -> NoReturn:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    return LocalStore(tmp_path / "study")


def holder(**changes: Any) -> Holder:
    return replace(new_holder("orch submit job.yaml"), **changes)


def free(store: Store, *, take_over: bool = False) -> tuple[Entry | None, list[str]]:
    """The entry that may be followed, and what was said of it."""
    lines: list[str] = []
    return free_entry(store, "orch cancel study", lines.append, take_over=take_over), lines


def refusal(store: Store, *, take_over: bool = False) -> str:
    with pytest.raises(LeaseError) as caught:
        free(store, take_over=take_over)
    assert str(caught.value).isprintable()
    return str(caught.value).removeprefix(f"{store.uri}: ")


def holds(lease: Lease) -> bool:
    try:
        lease.verify()
    except LeaseLostError:
        return False
    return True


def race(store: Store, after: Entry | None, number: int) -> list[Lease]:
    """Many that saw the same last lease try to follow it at once; those that hold theirs when all have tried."""
    barrier = threading.Barrier(number)

    def run(_: int) -> Lease | None:
        barrier.wait()
        try:
            return take(store, after, holder())
        except LeaseError:
            return None

    with ThreadPoolExecutor(number) as pool:
        taken = [lease for lease in pool.map(run, range(number)) if lease is not None]
    return [lease for lease in taken if holds(lease)]


def test_of_many_that_begin_or_take_over_at_once_one_holds_the_lease(store: Store) -> None:
    (first,) = race(store, None, MANY)
    assert last_entry(store) == Entry(1, first.holder)
    store.write(first.key, stored(replace(first.holder, process=DEAD)))
    entry, lines = free(store)
    assert entry is not None
    assert len(lines) == 1
    (second,) = race(store, entry, 2)
    assert store.keys("lease") == [second.key] == ["lease/00000002.json"]
    assert not holds(first)
    second.release()
    entry, lines = free(store)
    assert lines == []
    (third,) = race(store, entry, MANY)
    assert (third.number, holds(second)) == (3, False)


def stored(holder: Holder) -> bytes:
    """A holder as it is stored."""
    return lease_module._content(holder)


def test_processes_that_begin_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.errors import LeaseError\n"
        "from orchestrator.state.lease import new_holder, take; from orchestrator.store.local import LocalStore\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: take(LocalStore(Path(sys.argv[1])), None, new_holder('orch'))\n"
        "except LeaseError as error: print(error)\n"
        "else: print('holds it')"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "study")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    assert [racer.stdout.readline() for racer in racers if racer.stdout] == ["ready\n"] * 4
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    words = sorted(racer.communicate(timeout=60)[0] for racer in racers)
    assert words.count("holds it\n") == 1
    assert sum("another run of this job has begun at the same time on " in word for word in words) == 3


def test_who_looked_long_ago_takes_nothing(store: Store) -> None:
    """Between the look and the take, other runs have come and gone, and have removed the older leases."""
    assert free(store) == (None, [])
    for _ in range(3):
        take(store, last_entry(store), holder()).release()
    with pytest.raises(LeaseError):
        take(store, None, holder())
    last = last_entry(store)
    assert last is not None
    assert last.number == 3


@slow
def test_a_write_whose_reply_was_lost_is_known_for_one_s_own(s3_bucket: str, s3_proxy: Any) -> None:
    store = S3Store(s3_bucket, "lab/study").quick()  # which does not try again by itself
    s3_proxy.lose_replies = 1
    lease = take(RetryingStore(store), None, holder())
    assert holds(lease)


@pytest.mark.parametrize("moment", ["write", "keys", "read"])
def test_a_run_stopped_as_it_takes_the_lease_leaves_it_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    act = getattr(LocalStore, moment)

    def stop(*arguments: Any, **options: Any) -> NoReturn:
        monkeypatch.undo()
        act(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalStore, moment, stop)
    store = LocalStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        take(store, None, holder())
    last = last_entry(store)
    assert last is not None
    assert last.holder is not None
    assert last.holder.released


def test_a_lease_guards_a_store_wherever_it_is_sent(store: Store) -> None:
    lease = take(store, None, holder())
    here = GuardedStore(store, lease)
    there = pickle.loads(pickle.dumps(RetryingStore(here)))  # noqa: S301
    both = ((here.child("trials"), store.child("trials")), (there.quick(), store))
    for each, _ in both:
        assert each.write("a", b"1")
    other = take(store, last_entry(store), holder())
    for each, plain in both:
        for act in (lambda each=each: each.write("a", b"2"), lambda each=each: each.delete("a")):
            with pytest.raises(LeaseLostError) as caught:
                act()
            assert f"another run of this job took over, on {other.holder}" in str(caught.value)
        assert each.read("a") == b"1"
        assert (each.exists("a"), each.exists("b"), each.keys()) == (plain.exists("a"), False, plain.keys())
        each.check()
    here.sibling("_shared").write("a", b"1")
    with pytest.raises(LeaseLostError):
        lease.release()
    assert holds(other)


def test_a_lease_that_is_gone_without_another_is_waited_for(store: Store) -> None:
    """As where a disk is no longer mounted, or a folder was moved away: nobody has taken the run's place."""
    lease = take(store, None, holder())
    kept = store.read(lease.key)
    store.delete(lease.key)
    with pytest.raises(StorageUnavailable, match="what was stored is gone; mount it, or move it back"):
        lease.verify()
    store.write(lease.key, kept)
    assert holds(lease)


def test_storage_that_does_not_answer_loses_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    lease = take(store, None, holder())

    def down(self: LocalStore, prefix: str = "") -> list[str]:
        raise StorageUnavailable("the bucket is down")

    monkeypatch.setattr(LocalStore, "keys", down)
    with pytest.raises(StorageUnavailable):
        lease.verify()


HELD = [
    pytest.param({}, f"on {this_process()}", id="here"),
    pytest.param({"address": "10.0.0.1:6379"}, f"on 10.0.0.1:6379 ({this_process()})", id="auto"),
    pytest.param({"address": "http://head:8265", "submission_id": "orch-1"}, "on http://head:8265 (orch-1)", id="jobs"),
]


@pytest.mark.parametrize(("where", "words"), HELD)
@pytest.mark.parametrize("take_over", [False, True])
def test_a_run_whose_process_exists_is_not_replaced(
    tmp_path: Path, where: dict[str, str], words: str, take_over: bool
) -> None:
    store = LocalStore(tmp_path)
    lease = take(store, None, holder(**where))
    line = f"another run of this job is at work {words}"
    assert refusal(store, take_over=take_over) == f"{line}; wait for it, or stop it: orch cancel study"
    write_state(store, RunState("running", 0.0, 0.0, 12, ended=3, run_id=lease.holder.run_id))
    line += ", 3 of 12 trials have ended"
    assert refusal(store, take_over=take_over) == f"{line}; wait for it, or stop it: orch cancel study"


@pytest.fixture
def beating(tmp_path: Path) -> Iterator[Callable[[Holder, float], None]]:
    """Plays a run that beats, on a machine whose clock is off."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def start(run: Holder, skew_s: float) -> None:
        def beat() -> None:
            number = 0
            while not over.wait(0.01):
                number += 1
                write_state(LocalStore(tmp_path), RunState("running", 0.0, skew_s, 12, run_id=run.run_id, beat=number))

        threads.append(threading.Thread(target=beat))
        threads[-1].start()

    yield start
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("take_over", [False, True])
def test_a_run_elsewhere_that_beats_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beating: Callable[..., None], take_over: bool
) -> None:
    monkeypatch.setattr(liveness, "LISTEN_S", 20)  # it ends at the first change
    store = LocalStore(tmp_path)
    run = holder(process=ELSEWHERE)
    take(store, None, run)
    beating(run, -3600.0)
    line = "another run of this job is at work on node7 (pid 41), 0 of 12 trials have ended"
    assert refusal(store, take_over=take_over).startswith(line)


@pytest.mark.parametrize("state", [None, "damaged", "of another run", "running"])
def test_a_run_elsewhere_that_is_silent_is_replaced_where_the_user_says_that_it_is_dead(
    store: Store, state: str | None
) -> None:
    run = holder(process=ELSEWHERE)
    take(store, None, run)
    if state == "damaged":
        store.write("run.json", b"{")
    elif state is not None:
        name = run.run_id if state == "running" else "another"
        write_state(store, RunState("running", 0.0, 0.0, 12, run_id=name))
    assert refusal(store) == (
        "another run of this job, on node7 (pid 41), has not ended, and nothing was heard of it for 0 s; "
        "if it is dead, --take-over takes its place"
    )
    entry, lines = free(store, take_over=True)
    assert entry == Entry(1, run)
    assert lines == ["note: another run of this job, on node7 (pid 41), is silent; this one takes its place"]


def test_a_run_that_ended_but_could_not_give_its_lease_back_is_followed(store: Store) -> None:
    run = holder(process=ELSEWHERE)
    take(store, None, run)
    write_state(store, RunState("cancelled", 0.0, 0.0, 12, run_id=run.run_id))
    entry, lines = free(store)
    assert entry == Entry(1, run)
    assert lines == ["note: another run of this job, on node7 (pid 41), was cancelled; this one takes its place"]


def test_a_lease_that_is_given_back_while_we_listen_is_followed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    lease = take(store, None, holder(process=ELSEWHERE))
    timer = threading.Timer(0.03, lease.release)
    timer.start()
    entry, lines = free(store)
    timer.join()
    assert (entry, lines) == (Entry(1, replace(lease.holder, released=True)), [])


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 9999, b'{"run_id": "a", "process": {"host": "", "pid": -1}}'])
def test_a_damaged_lease_is_one_that_nobody_is_heard_of(tmp_path: Path, content: bytes) -> None:
    store = LocalStore(tmp_path)
    store.write("lease/00000004.json", content)
    store.write("lease/notes.txt", b"not a lease")
    assert refusal(store).startswith("another run of this job has not ended, and nothing was heard of it")
    entry, _ = free(store, take_over=True)
    assert take(store, entry, holder()).number == 5


@pytest.mark.parametrize("number", [99_999_999, 10**12])
def test_a_lease_of_any_number_is_followed(store: Store, number: int) -> None:
    store.write(f"lease/{number:08d}.json", b"{}")
    entry, _ = free(store, take_over=True)
    assert entry is not None
    assert entry.number == number
    assert holds(take(store, entry, holder()))


def test_a_process_is_gone_when_it_is_known_to_be() -> None:
    """A child is alive, then a zombie, then no more; what is not on this machine is never known to be gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = replace(this_process(), pid=child.pid, started="")
    assert not known.gone
    assert replace(known, started="1").gone
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert known.gone
    child.communicate()
    assert known.gone
    assert not replace(known, machine="another").gone
    assert not replace(known, machine="").gone
    assert not replace(this_process(), pid=1, started="").gone
