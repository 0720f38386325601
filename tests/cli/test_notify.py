"""Who is told how a run ends: a webhook on the loopback address, or a command; nothing that it knows is printed."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import notify
from orchestrator.cli.notify import VARIABLE, read_notice
from orchestrator.errors import DataError
from orchestrator.state.files import EvaluationProgress, RunState, ask_to_cancel, read_state
from tests.cli.test_drive import interrupt, submit  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.store.local import LocalStore

SECRET = "T0kenOfTheHook"
STATE = RunState("done", 0.0, 0.0, 4, ended=4, failed=1, evaluations=EvaluationProgress(3, 2, 1))


@contextmanager
def hook(status: int = 200, wait: threading.Event | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The URL of a server, and what it was sent."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            received.append({"path": self.path, "type": self.headers["Content-Type"], **json.loads(content)})
            if wait is not None:
                wait.wait(60)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{SECRET}", received
    finally:
        if wait is not None:
            wait.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Tells whom the variable names, and returns what was printed about it."""

    def tell(value: str) -> str:
        monkeypatch.setenv(VARIABLE, value)
        notice = read_notice()
        assert notice is not None
        notice.tell("study", "/results/study", STATE)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert SECRET not in printed.err
        return printed.err

    return tell


def test_a_webhook_gets_json(tell: Callable[[str], str]) -> None:
    with hook() as (url, received):
        assert tell(url) == ""
    (told,) = received
    assert told.pop("seconds") >= 0
    assert told.pop("text").startswith("study: done; 4 of 4 trials ended, 1 trial failed; ")
    counts = {"to_run": 4, "ended": 4, "failed": 1, "evaluations_total": 3, "evaluations_done": 2}
    assert told.pop("counts") == {**counts, "evaluations_failed": 1}
    sent = {"path": f"/{SECRET}", "type": "application/json"}
    assert told == {**sent, "job": "study", "state": "done", "folder": "/results/study"}


def test_a_command_gets_it_on_its_standard_input(tell: Callable[[str], str], tmp_path: Path) -> None:
    assert tell(f"sh -c 'cat > {tmp_path}/told; echo {SECRET}; echo {SECRET} >&2'") == ""
    assert json.loads((tmp_path / "told").read_text())["state"] == "done"


def test_a_command_that_reads_nothing(tell: Callable[[str], str]) -> None:
    assert tell(f"true {SECRET}") == ""


@pytest.mark.parametrize(("status", "problem"), [(500, "HTTP 500"), (404, "HTTP 404"), (302, "HTTP 302")])
def test_a_webhook_that_refuses_is_one_line_with_its_host_alone(
    tell: Callable[[str], str], status: int, problem: str
) -> None:
    with hook(status) as (url, received):
        assert tell(url) == f"note: 127.0.0.1 was not told that the run has ended: {problem}\n"
    assert len(received) == 1


def test_a_webhook_that_nobody_answers(tell: Callable[[str], str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{SECRET}"
        assert tell(url) == "note: 127.0.0.1 was not told that the run has ended: Connection refused\n"


def test_whatever_takes_too_long_is_left(tell: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_LIMIT_S", 0.2)
    with hook(wait=threading.Event()) as (url, _):
        assert tell(url).startswith("note: 127.0.0.1 was not told that the run has ended: ")
    assert tell(f"sh -c 'sleep 600; {SECRET}'").startswith("note: sh was not told that the run has ended: ")


def test_a_command_that_fails(tell: Callable[[str], str]) -> None:
    assert tell(f"sh -c 'exit 3' {SECRET}") == "note: sh was not told that the run has ended: exit code 3\n"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (f"ftp://host/{SECRET}", "got a URL of ftp, expected https://host/path or a command"),
        (f"https:///{SECRET}", "is no URL of a webhook, expected https://host/path"),
        (f"https://host:port/{SECRET}", "is no URL of a webhook, expected https://host/path"),
        (f"https://host/{SECRET} more", "is no URL of a webhook, expected https://host/path"),
        (f"https://[{SECRET}", "is no URL of a webhook, expected https://host/path"),
        (f"no-such-program-here {SECRET}", "there is no program 'no-such-program-here'; name one, or a URL"),
        (f"mail '{SECRET}", "is no command: no closing quotation"),
        ("''", "there is no program ''; name one, or a URL"),
    ],
)
def test_a_mistake_stops_the_run_before_it_begins(
    orch: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, value: str, line: str
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert orch("submit", "job.yaml").mistake == f"{VARIABLE}: {line}"
    assert [path.name for path in folder.iterdir()] == ["job.yaml"]


def _cancel(store: LocalStore) -> None:
    state = read_state(store)
    assert state is not None
    ask_to_cancel(store, state)


def _fail(_: LocalStore) -> None:
    raise DataError("imgs: gone")


@pytest.mark.parametrize(
    ("play", "code", "state"),
    [(lambda _: interrupt(), 130, "interrupted"), (_cancel, 130, "cancelled"), (_fail, 2, "failed")],
)
def test_every_end_of_a_run_is_told_and_its_exit_code_stays(
    submit: Callable[..., Any],  # noqa: F811
    store: LocalStore,
    monkeypatch: pytest.MonkeyPatch,
    play: Callable[[LocalStore], None],
    code: int,
    state: str,
) -> None:
    for status in (200, 500):
        with hook(status) as (url, received):
            monkeypatch.setenv(VARIABLE, url)
            ran = submit(lambda: play(store))
        assert ran.code == code
        assert [(told["job"], told["state"], told["counts"]["to_run"], told["folder"]) for told in received] == [
            ("study", state, 4, store.uri)
        ]
        assert SECRET not in ran.err
        assert ("note: 127.0.0.1 was not told that the run has ended: HTTP 500" in ran.err) == (status == 500)
        keys = store.keys("")
        assert "run.log" in keys
        assert not [key for key in keys if SECRET.encode() in store.read(key)]
