"""The death of what a run cannot do without is noticed, and told how."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from orchestrator.runtime import watch

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_death_is_told_to_who_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_EVERY_S", 0.01)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(watch, "started_processes", lambda: {"raylet": [SimpleNamespace(process=process)]})
    heard: list[str] = []
    with watch.watched(watch.local_death, heard.append):
        time.sleep(0.05)
        assert heard == []
        process.kill()
        process.wait()
        give_up = time.monotonic() + 10
        while not heard and time.monotonic() < give_up:
            time.sleep(0.01)
    assert process.stdin is not None
    process.stdin.close()
    assert heard == [f"Ray's node manager (raylet, pid {process.pid}) was ended by SIGKILL"]


def test_nothing_is_told_after_the_context() -> None:
    with watch.watched(lambda: "dead", lambda cause: pytest.fail(cause)):
        pass


@pytest.mark.parametrize(
    ("code", "words"), [(1, "ended with exit code 1"), (-11, "was ended by SIGSEGV"), (-63, "was ended by signal 63")]
)
def test_how_a_process_ended(code: int, words: str) -> None:
    assert watch._describe_exit(code) == words


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[watch.JoinedRay, dict[str, float], list[str]]]:
    """Makes a joined Ray whose addresses answer or not as a test says; the clock; what was said."""

    def make() -> tuple[watch.JoinedRay, dict[str, float], list[str]]:
        said: list[str] = []
        ray = watch.JoinedRay.__new__(watch.JoinedRay)
        ray.head, ray.raylet, ray.notify = ("head", 6379), ("here", 7000), said.append
        ray._head_gone, ray._raylet_gone, ray._reported_silent = 0.0, 0.0, False
        world = {"now": 100.0, "head": 1.0, "here": 1.0}
        monkeypatch.setattr(watch, "_answers", lambda address: bool(world[address[0]]))
        monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: world["now"]))
        return ray, world, said

    return make


def test_a_head_that_goes_away_is_noted_and_one_that_stays_away_ends_the_run(
    joined: Callable[[], tuple[watch.JoinedRay, dict[str, float], list[str]]],
) -> None:
    ray, world, said = joined()
    for head, seconds in ((1, 1), (0, 30), (1, 5), (0, 38)):
        world["head"] = head
        for _ in range(seconds):
            assert ray.death() is None
            world["now"] += 1
    lost, back = (f"note: Ray's head (gcs_server) at head:6379 {what}" for what in ("does not answer", "answers again"))
    assert said == [lost, back, lost]
    world["now"] += 4
    assert ray.death() == "Ray's head (gcs_server) at head:6379 has not answered for 42 s"


def test_a_raylet_that_is_gone_ends_the_run_once_that_is_sure(
    joined: Callable[[], tuple[watch.JoinedRay, dict[str, float], list[str]]],
) -> None:
    ray, world, _ = joined()
    world["here"] = 0
    assert ray.death() is None
    world["now"] += 3
    assert ray.death() == "Ray's node manager (raylet) on this node, at port 7000, is gone"


def test_an_address_answers_where_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert watch._answers(address)
    assert not watch._answers(address)
