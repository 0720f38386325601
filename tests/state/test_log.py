"""A run's log in storage: bounded, whole, and read on from where a reader stopped."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import StorageError
from orchestrator.state import log
from orchestrator.state.log import LogSnapshot, RunLog, read_log

if TYPE_CHECKING:
    from orchestrator.store.local import LocalStore


def texts(said: LogSnapshot) -> list[str]:
    return [line[21:] for line in said.lines]


def test_lines_with_their_times_until_the_end(store: LocalStore) -> None:
    run = RunLog(store)
    assert read_log(store) == LogSnapshot()
    run.add("one")
    run.add("two\n\x1b[31mred é")
    run.write()
    said = read_log(store)
    assert texts(said) == ["one", r"two\n\x1b[31mred é"]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line) for line in said.lines)
    assert not said.ended
    run.add("three")
    run.end()
    assert read_log(store).ended
    assert [line[21:] for line in read_log(store).since(said)] == ["three"]


def test_it_is_written_only_when_something_was_said(store: LocalStore) -> None:
    run = RunLog(store)
    run.add("one")
    run.write()
    store.write("run.log", b"another's")
    run.write()
    assert store.read("run.log") == b"another's"
    run.add("two")
    run.write()
    assert texts(read_log(store)) == ["one", "two"]


def test_a_write_that_fails_is_made_up_for(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunLog(store)
    run.add("one")
    with monkeypatch.context() as down:
        down.setattr(store, "write", lambda *_: (_ for _ in ()).throw(StorageError("down")))
        with pytest.raises(StorageError):
            run.write()
    run.write()
    assert texts(read_log(store)) == ["one"]


def test_an_older_text_never_takes_the_place_of_a_newer_one(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes the log every few seconds may be slow at it when the run ends."""
    run, begun, go_on, write = RunLog(store), threading.Event(), threading.Event(), store.write

    def write_slowly(key: str, data: bytes) -> None:
        if not begun.is_set():
            begun.set()
            go_on.wait(60)
        write(key, data)

    monkeypatch.setattr(store, "write", write_slowly)
    threads = [threading.Thread(target=act) for act in (run.write, run.end)]
    threads[0].start()
    begun.wait(60)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join()
    assert read_log(store).ended


def test_a_long_log_keeps_its_end_and_readers_lose_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MAX_BYTES", 2000)
    run, seen, said = RunLog(store), [], LogSnapshot()
    for number in range(300):
        run.add(f"line {number}")
        if number % 20 == 0:
            run.write()
            newer = read_log(store)
            seen += [line[21:] for line in newer.since(said)]
            said = newer
    run.end()
    whole = store.read("run.log")
    assert len(whole) < 2000 + 200
    last = read_log(store)
    seen += [line[21:] for line in last.since(said)]
    assert seen == [f"line {number}" for number in range(300)]
    assert last.left_out + len(last.lines) == 300
    assert whole.startswith(b"# run of ")
    assert f"; {last.left_out} earlier lines are left out\n".encode() in whole


def test_a_reader_who_was_away_too_long_goes_on_with_what_is_left(store: LocalStore) -> None:
    before = LogSnapshot("a", 0, ("1", "2"))
    assert LogSnapshot("a", 5, ("6", "7")).since(before) == ("6", "7")
    assert LogSnapshot("a", 1, ("2", "3")).since(before) == ("3",)
    assert LogSnapshot("b", 0, ("1", "2", "3")).since(before) == ("1", "2", "3")


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", ("",)), (b"what is this\nlog\n", ("what is this", "log")), (b"\xff\n", ("�",))],
)
def test_what_is_no_log_is_shown_as_it_is(store: LocalStore, content: bytes, lines: tuple[str, ...]) -> None:
    store.write("run.log", content)
    assert read_log(store).lines == lines
