"""Where Ray puts its files, what its processes inherit, and the one line that says why it cannot start."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import ray
from ray._private import services
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

from orchestrator.errors import ClusterError
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.runtime import local
from orchestrator.runtime.local import local_ray, private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Cluster((Machine(2, 0),))


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for temporary files, empty afterwards; pytest's own is too deep for sockets."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    left = list(folder.rglob("orch-*"))
    shutil.rmtree(folder)
    assert not left


def refusal() -> str:
    """Why Ray does not start."""
    with pytest.raises(ClusterError) as caught, local_ray(HERE):
        pass
    return str(caught.value)


def started_with(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Ray was started with and what its processes would inherit, where Ray itself does not start."""
    seen: dict[str, Any] = {}

    def start(**options: Any) -> None:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        seen.update(options, here=Path.cwd(), environment=dict(os.environ), blocked=blocked)
        seen.update(address=services.get_node_ip_address(), token=_token())
        Path(options["_temp_dir"]).chmod(0o777)  # as Ray does

    monkeypatch.setattr(ray, "init", start)
    return seen


def test_processes_of_ray_find_the_modules_of_this_one_and_write_into_a_private_folder(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = started_with(monkeypatch)
    monkeypatch.setattr(sys, "path", ["tests", *sys.path, "tests", "__editable__.hook"])
    path, before, cwd = os.environ.get("PYTHONPATH"), signal.pthread_sigmask(signal.SIG_BLOCK, ()), Path.cwd()
    with local_ray(HERE):
        folder = Path(seen["_temp_dir"])
        private = folder.parent
        assert private.parent == base
        assert private.stat().st_mode & 0o777 == 0o700
        assert seen["here"] == folder  # Ray has workers look for modules here first
        assert seen["environment"]["TMPDIR"] == str(folder)
        modules = seen["environment"]["PYTHONPATH"].split(os.pathsep)
        there = [Path(entry).absolute() for entry in sys.path if Path(entry).exists()]
        assert modules == list(dict.fromkeys(map(str, there)))
        assert modules[0] == str(Path("tests").absolute())
        assert seen["blocked"] >= {signal.SIGTERM, signal.SIGHUP}
        assert (os.environ.get("PYTHONPATH"), Path.cwd()) == (path, cwd)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert not private.exists()


@pytest.mark.parametrize(
    "users", [{}, {"RAY_AUTH_TOKEN": "u" * 64}, {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN_PATH": "/nowhere"}]
)
def test_only_who_has_the_run_s_own_token_gets_in_and_only_over_loopback(
    base: Path, monkeypatch: pytest.MonkeyPatch, users: dict[str, str]
) -> None:
    seen = started_with(monkeypatch)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")
    before, address = dict(os.environ), services.get_node_ip_address()
    tokens = set()
    for _ in range(2):
        with local_ray(HERE):
            (file,) = base.glob("orch-*/token")
            assert file.stat().st_mode & 0o777 == 0o600
            tokens.add(seen["token"])
            assert seen["token"] == file.read_text()
            assert {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}.items() <= seen["environment"].items()
            assert not [name for name, value in seen["environment"].items() if value in (file.read_text(), "u" * 64)]
            assert seen["address"] == "127.0.0.1"
            assert seen["environment"]["GLOO_SOCKET_IFNAME"].startswith("lo")
    assert len(tokens) == 2
    assert all(len(token) == 64 for token in tokens)
    assert {name: value for name, value in os.environ.items() if name in before} == before
    assert not [name for name in os.environ if name.startswith("RAY_AUTH") and name not in users]
    assert services.get_node_ip_address() == address
    if "RAY_AUTH_TOKEN" in users:
        assert _token() == "u" * 64


def _token() -> str:
    """The token that Ray would send from this process now."""
    return str(AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True))


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_the_longest_folder_that_is_taken_has_room_for_sockets(
    base: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    started_with(monkeypatch)
    room = bisect_left(range(200), True, key=lambda size: _refused(base, monkeypatch, variable, size)) - 1
    with private_folder(str(_folder(base, room))) as folder, socket.socket(socket.AF_UNIX) as endpoint:
        name = Path(folder + local._SOCKET.format(pid=os.getpid()))
        name.parent.mkdir(parents=True)
        endpoint.bind(str(name))
    monkeypatch.setenv(variable, str(_folder(base, room + 1)))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert refusal() == (
        f"cannot start Ray: {variable}: got {str(_folder(base, room + 1))!r} ({room + 1} bytes), expected at most "
        f"{room}: below it Ray makes sockets, whose paths may have {local._SOCKET_BYTES}; set RAY_TMPDIR to a shorter "
        "folder, such as /tmp"
    )


def _folder(base: Path, size: int) -> Path:
    """A folder whose path has so many bytes."""
    folder = base / ("x" * (size - len(str(base)) - 1)) if size > len(str(base)) + 1 else base
    folder.mkdir(exist_ok=True)
    return folder


def _refused(base: Path, monkeypatch: pytest.MonkeyPatch, variable: str, size: int) -> bool:
    monkeypatch.setenv(variable, str(_folder(base, size)))
    monkeypatch.setattr(tempfile, "tempdir", None)
    try:
        with local_ray(HERE):
            return False
    except ClusterError:
        return True


def test_folders_that_cannot_be_used_are_named(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "file").touch()
    for name, cause in {"gone": "No such file or directory", "file": "Not a directory"}.items():
        monkeypatch.setenv("RAY_TMPDIR", str(base / name))
        assert refusal() == (
            f"cannot start Ray: no folder can be made in {base / name}: {cause}; "
            "set RAY_TMPDIR to one that can be written"
        )
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(base / "gone")])
    assert "cannot start Ray: no folder can be made in any of the folders for temporary files" in refusal()


def test_what_ray_says_is_one_line(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise ValueError("The object store\nneeds   memory.")

    monkeypatch.setattr(ray, "init", fail)
    assert refusal() == "cannot start Ray on this machine: The object store needs memory."


def test_a_ray_that_comes_up_too_slowly_is_started_again_and_leaves_nothing(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    slow = 2

    def come_up(**_: Any) -> None:
        started.append(subprocess.Popen(["sleep", "60"]))
        if len(started) <= slow:
            raise Exception("The current node timed out during startup. This could happen because of a raylet.")

    monkeypatch.setattr(ray, "init", come_up)
    with local_ray(HERE):
        assert [one.wait(5) for one in started[:slow]] == [-signal.SIGKILL] * slow
        assert started[slow].poll() is None
    started[slow].kill()
    started[slow].wait()
    slow, _ = 3, started.clear()
    assert refusal().startswith("cannot start Ray on this machine: The current node timed out during startup.")
    assert [one.wait(5) for one in started] == [-signal.SIGKILL] * slow


def test_with_a_limited_address_space_another_process_tries_first(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started_with(monkeypatch)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 << 30, 3 << 30))
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with local_ray(HERE):
        pass
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "3.0 GiB of address space (ulimit -v); lift that limit" in refusal()


def test_no_other_thread_drops_what_is_ray_s_while_it_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage in cycles, such as the frames of an error with references in them, is collected before."""

    class Node:
        pass

    def shutdown() -> None:
        assert not gc.isenabled()
        assert node() is None

    cycle = Node()
    cycle.itself, node = cycle, weakref.ref(cycle)  # type: ignore[attr-defined]
    del cycle
    monkeypatch.setattr(ray, "shutdown", shutdown)
    local._end()
    assert gc.isenabled()
