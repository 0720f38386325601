"""Jobs handed to a cluster elsewhere: a real head with token authentication, reached over HTTP alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
import yaml

from orchestrator.spec.job import make_job
from orchestrator.state.files import read_state
from orchestrator.state.handovers import read_handover, write_handover
from orchestrator.state.log import read_log
from orchestrator.store.open import open_store
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import raw_job
from tests.ray.heads import Head, Line, running_head
from tests.ray.nodes import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.store.location import Store

pytestmark = pytest.mark.faults

ORCH = [sys.executable, "-m", "orchestrator.cli"]
LONG = {"epochs": 2000, "batch_size": 8, "log_every": 3, "samples_every": 500}


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # Ray's sockets lie below it, whose names the system allows few characters.
    with tempfile.TemporaryDirectory(prefix="oh-") as folder, running_head(Path(folder)) as head:
        yield head


@pytest.fixture
def orch(head: Head, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command to its end beside the job file; a traceback in its output fails the test."""

    def orch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*ORCH, *arguments],
            cwd=tmp_path,
            env=head.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    return orch


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Store]:
    """Writes job.yaml for a job of that name into the test's own folder, and gives the root of its results."""
    return partial(write_job, tmp_path)


def write_job(folder: Path, name: str, **changes: Any) -> Store:
    """As the fixture ``job``, into a folder of one's choice."""
    raw = raw_job(name=name, storage=str(folder / "shared"), **changes)
    (folder / "job.yaml").write_text(yaml.safe_dump(raw))
    return open_store(raw["storage"]).child(name)


def test_left_alone_then_watched_and_cancelled_from_elsewhere(
    head: Head, orch: Callable[..., Any], job: Callable[..., Store], tmp_path: Path
) -> None:
    store = job("left", grid={"training.seed": [0, 1]}, training=LONG, resources={})
    handed = orch("submit", "job.yaml", "--address", head.url, "--detach")
    assert handed.returncode == 0, handed.stderr
    assert handed.stdout.startswith("orch-left-")
    travels, *commands = handed.stderr.splitlines()
    assert travels.startswith("travels: the job (3 files, ")
    assert [line.split()[1] for line in commands] == ["status", "logs", "cancel", "logs"]
    assert read_handover(store) is None, "the run has begun"
    assert store.read("job.yaml")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # Nothing of the cluster is known there: only the storage is.
    at = {"cwd": elsewhere, "text": True}
    where = ["left", "--storage", store.uri.removesuffix("/left")]
    with subprocess.Popen([*ORCH, "logs", *where, "-f"], stdout=subprocess.PIPE, **at) as follower:
        assert follower.stdout
        while "started" not in (line := follower.stdout.readline()):
            assert line
        wait_until(lambda: (state := read_state(store)) and state.nodes and state.running, "a heartbeat")
        status = subprocess.run([*ORCH, "status", *where], capture_output=True, check=True, **at).stdout.splitlines()
        assert status[0].startswith("left: running; ")
        submission = handed.stdout.strip()
        assert status[1] == f"cluster {head.url}, {submission}, nodes: 1 wanted, 1 present, 0 idle"

        cancelled = subprocess.run([*ORCH, "cancel", *where], capture_output=True, check=True, **at).stdout
        assert cancelled == "cancelled: 0 of 2 trials had ended\n"
        rest = follower.stdout.read()
        assert follower.wait(60) == 0
    assert "cancelled; every trial keeps its last state, go on with: orch resume left --storage " in rest
    assert "error" not in rest
    assert not [key for key in store.keys("") if "cancel" in key]
    assert len(store.keys("checkpoints")) == 2
    again = subprocess.run([*ORCH, "cancel", *where], capture_output=True, check=False, **at)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "no run is at work on it: cancelled, last sign of life " in again.stderr
    assert "go on with" in orch("logs", "left", "--storage", where[-1], "--address", head.url).stdout


class Followed(NamedTuple):
    """A run that was followed to its end over a line that was cut, and what its follower said."""

    store: Store
    code: int
    out: str
    said: list[str]


@pytest.fixture(scope="module")
def followed(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    folder = tmp_path_factory.mktemp("followed")
    training = {**LONG, "epochs": 40, "samples_every": 20}
    store = write_job(folder, "followed", grid={"training.seed": [0, 1]}, training=training)
    line = Line(int(head.url.rpartition(":")[2]))
    command = [*ORCH, "submit", "job.yaml", "--address", line.url]
    with subprocess.Popen(
        command, cwd=folder, env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stderr
        said = [follower.stderr.readline() for _ in range(3)]
        line.cut(for_s=3.0)
        out, rest = follower.communicate(timeout=PATIENCE_S)
    line.close()
    return Followed(store, follower.returncode, out, said + rest.splitlines())


def test_followed_over_a_line_that_is_cut(followed: Followed) -> None:
    store, code, out, said = followed
    assert code == 0, said
    assert [text.split()[:2] for text in out.splitlines()] == [
        ["results", store.uri],
        ["report", f"{store.uri}/report/index.html"],
    ]
    assert sum("2 trials: 2 new" in text for text in said) == 1
    assert sum(" finished  seed=" in text for text in said) == 2
    job = Path(store.uri).parents[1] / "job.yaml"
    assert_exactly_once(store, make_job(yaml.safe_load(job.read_text()), "job.yaml").trials)


def test_a_run_outlives_who_followed_it_and_tells_its_exit_code_to_the_next(
    head: Head, orch: Callable[..., Any], job: Callable[..., Store], tmp_path: Path
) -> None:
    failing = {"epochs": 2, "batch_size": 8, "g_optimizer": {"lr": 1.0, "betas": [0.0, 0.0], "eps": 1e-300}}
    store = job("outlives", training=failing, model={"kind": "dcgan", "latent_dim": 2, "width": 1})
    command = [*ORCH, "submit", "job.yaml", "--address", head.url]
    with subprocess.Popen(command, cwd=tmp_path, env=head.environment, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stderr
        assert follower.stderr.readline().startswith("travels: ")
        assert "Ctrl-C stops following, not the job" in follower.stderr.readline()
        follower.send_signal(signal.SIGKILL)
    wait_until(lambda: read_log(store).ended, "the run's end")
    assert "1 trial failed; why: orch status outlives --storage " in read_log(store).lines[-1]
    assert any("loss is not finite at step" in line for line in read_log(store).lines)
    again = orch("submit", "job.yaml", "--address", head.url)
    assert again.returncode == 1
    assert "1 trial: 0 new, 0 cached, 1 failed" in again.stderr


def test_a_hand_over_that_comes_to_nothing(head: Head, orch: Callable[..., Any], job: Callable[..., Store]) -> None:
    store = job("nothing", resources={"cpus_per_worker": 3})
    why = "resources.cpus_per_worker: got 3, but there are 2 processors in the cluster"
    handed = orch("submit", "job.yaml", "--address", head.url, "--detach")
    submission = handed.stdout.strip()
    assert handed.returncode == 2
    assert handed.stderr.splitlines()[1:] == [f"error: {submission} came to nothing on {head.url}: {why}"]
    news = f"handed over to {head.url} as {submission}, which came to nothing: {why}"
    assert orch("status", "job.yaml").stdout.startswith(f"nothing: {news}\nnothing: not running; 1 waiting\n")
    # as the cluster tells it to whoever finds a record that nobody has kept up
    record = read_handover(store)
    assert record is not None
    write_handover(store, replace(record, error=None))
    logs = orch("logs", "job.yaml")
    assert (logs.returncode, logs.stdout, logs.stderr) == (2, "", f"error: {store.uri}: no log; {news}\n")


def test_the_plan_is_the_cluster_s(head: Head, orch: Callable[..., Any], job: Callable[..., Store]) -> None:
    store = job("planned", resources={"cpus_per_worker": 2})
    done = orch("submit", "job.yaml", "--address", head.url, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["new"], plan["output"]) == (1, store.uri)
    assert [(each["cpus"], each["concurrent"]) for each in plan["placements"]] == [(2, 1)]
    assert store.keys() == []
    never = orch("plan", "job.yaml", "--address", head.url, "--set", "resources.cpus_per_worker=3")
    assert (never.returncode, never.stdout) == (2, "")
    assert never.stderr.splitlines()[1:] == [
        "error: resources.cpus_per_worker: got 3, but there are 2 processors in the cluster"
    ]


def test_ctrl_c_ends_the_following_and_cancel_a_run_hardly_begun(
    head: Head, orch: Callable[..., Any], job: Callable[..., Store], tmp_path: Path
) -> None:
    store = job("early", training=LONG)
    command = [*ORCH, "submit", "job.yaml", "--address", head.url]
    with subprocess.Popen(command, cwd=tmp_path, env=head.environment, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stderr
        assert follower.stderr.readline().startswith("travels: ")
        submission = follower.stderr.readline().split()[0]
        time.sleep(0.5)
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 130
    first, *commands = said.splitlines()
    assert first == f"following stopped; {submission} goes on without"
    assert [line.split()[1] for line in commands] == ["status", "logs", "cancel", "logs"]
    stopped = orch("cancel", "job.yaml", "--address", head.url)
    assert stopped.returncode == 0, stopped.stderr
    # On a fast machine the run has reached storage by now, and is asked through it.
    assert stopped.stdout in (f"{submission} stopped\n", "cancelled: 0 of 1 trials had ended\n")
    state = read_state(store)
    assert state is None or state.state != "running"
    assert "no run of early is at work there" in orch("cancel", "job.yaml", "--address", head.url).stderr


def test_tokens_that_do_not_let_in(head: Head, orch: Callable[..., Any], job: Callable[..., Store]) -> None:
    job("refused")
    wrong = orch("submit", "job.yaml", "--address", head.url, RAY_AUTH_TOKEN="another-one")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert f"{head.url}: the cluster refuses the token from RAY_AUTH_TOKEN" in wrong.stderr
    assert "another-one" not in wrong.stderr
    none = orch("submit", "job.yaml", "--address", head.url, RAY_AUTH_TOKEN_PATH="", HOME="/nonexistent")
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
    assert f"{head.url}: the cluster wants a token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH" in none.stderr
    lost = orch("submit", "job.yaml", "--address", head.url, RAY_AUTH_TOKEN_PATH="/nonexistent/token")
    assert (lost.returncode, lost.stderr) == (
        2,
        "error: the token in /nonexistent/token cannot be read: No such file or directory\n",
    )


def test_results_stay_when_the_cluster_has_gone(head: Head, orch: Callable[..., Any], followed: Followed) -> None:
    head.end()
    where = ("followed", "--storage", followed.store.uri.removesuffix("/followed"))
    assert orch("status", *where).stdout.startswith("followed: not running; 2 finished\n")
    rows = json.loads(orch("results", *where, "--json").stdout)
    assert [row["status"] for row in rows] == ["finished"] * 2
    assert orch("report", *where).returncode == 0
    assert orch("logs", *where, "-f").stdout.count(" finished ") == 2
    gone = orch("logs", *where, "--address", head.url)
    assert gone.stderr == (
        f"error: {head.url}: no answer; is it the dashboard's address, and can this machine reach it?\n"
    )


class _Pretender(BaseHTTPRequestHandler):
    """Answers every request with the text of its class."""

    text: ClassVar[str]

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<html>Welcome to nginx!</html>", "answers (HTTP 200), but not as the dashboard of a Ray cluster does"),
        ('{"ray_version": "2.9.3"}', "the cluster runs Ray 2.9.3, this machine has Ray 2."),
        ("[]", "answers (HTTP 200), but not as the dashboard of a Ray cluster does"),
    ],
)
def test_servers_that_are_not_what_is_wanted(
    text: str, problem: str, tmp_path: Path, job: Callable[..., Store]
) -> None:
    job("nowhere")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Pretender,), {"text": text}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    command = [*ORCH, "submit", "job.yaml", "--address", url]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    server.shutdown()
    server.server_close()
    thread.join()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: {url}: {problem}")
