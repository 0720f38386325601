"""Nothing of a local run is open to other users of the machine, or to the network."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest
import yaml
from ray.train.v2._internal import constants
from ray.tune.execution import class_cache

from orchestrator.runtime.privacy import keep_credentials
from tests.ray.conftest import raw_job
from tests.ray.drivers import ORCH
from tests.ray.exposure import Exposure, ask_without_token
from tests.ray.nodes import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("HF_TOKEN", "WANDB_API_KEY", "RAY_AUTH_TOKEN"),
)
TOKEN, OWN = "T/orch-*/token", "the run's own token"
GANG = "RayTrainWorker"
LISTENERS = ("gcs_server", "raylet", "DashboardAgent", "RuntimeEnvAgent", GANG)


class Watched(NamedTuple):
    """A run of a trial on two devices and of one on one; what a stranger gets to hear who has no token."""

    exposure: Exposure
    asked: list[tuple[str, str]]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    # Its path leaves room for sockets.
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    yield watch(folder)
    shutil.rmtree(folder)


def watch(folder: Path) -> Watched:
    environment = {name: f"canary-{name.lower().replace('_', '-')}-{os.getpid():032}" for name in KEPT}
    exposure = Exposure(folder, dict(environment))
    for name in ("HOME", "TMPDIR"):
        environment[name] = str(folder / name[0])
        Path(environment[name]).mkdir()
    cases = [{"resources.workers": workers, "training.seed": workers} for workers in (2, 1)]
    (folder / "job.yaml").write_text(yaml.safe_dump(raw_job(grid={"case": cases}, resources={})))
    process = subprocess.Popen(
        [*ORCH, "submit", "job.yaml"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "RAY_TMPDIR"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        asked = look_until_it_ends(process, exposure)
        said, _ = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 0, said
    exposure.look_into_files()
    return Watched(exposure, asked)


def look_until_it_ends(process: subprocess.Popen[str], exposure: Exposure) -> list[tuple[str, str]]:
    """What the ports say to who has no token, once a worker group is at work."""
    driver, asked = psutil.Process(process.pid), list[tuple[str, str]]()
    give_up = time.monotonic() + 2 * PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < give_up
        exposure.look(driver)
        for path in exposure.folder.glob(TOKEN):
            if token := path.read_text():
                exposure.secrets[OWN] = token
        if not asked and exposure.count(GANG) >= 4:
            asked = ask(exposure, process.pid)
        time.sleep(1)
    return asked


def ask(exposure: Exposure, driver: int) -> list[tuple[str, str]]:
    """What each port says, while the driver stands still: a worker group whose trial ends waits for the next."""
    own = {port: who for port, who in exposure.ports.items() if "orchestrator.cli" in who[0]}
    asked = list(ask_without_token(own))
    os.kill(driver, signal.SIGSTOP)
    try:
        return asked + list(ask_without_token({port: exposure.ports[port] for port in exposure.ports.keys() - own}))
    finally:
        os.kill(driver, signal.SIGCONT)


def test_no_secret_stands_in_a_file_or_on_a_command_line(watched: Watched) -> None:
    names = {path.name for path in watched.exposure.files}
    assert names >= {"gcs_server.out", "runtime_env_agent.log", "raylet.out", "run.log", "job.yaml"}, "not looked at"
    allowed = {leak for leak in watched.exposure.leaks if Path(leak[0]).match(TOKEN) and leak[1] == OWN}
    assert watched.exposure.leaks - allowed == set()
    assert OWN in watched.exposure.secrets


def test_temporary_files_lie_in_folders_that_nobody_else_can_enter(watched: Watched) -> None:
    folder, files = watched.exposure.folder, watched.exposure.files
    entries = {path.name: stat.filemode(mode) for path, mode in files.items() if path.parent == folder / "T"}
    assert set(entries.values()) == {"drwx------"}
    assert list((folder / "T").iterdir()) == []
    assert not (folder / "H/.ray").exists()
    assert {stat.filemode(mode) for path, mode in files.items() if path.match(TOKEN)} == {"-rw-------"}
    assert watched.exposure.shared_memory == {0o600}


def test_nothing_listens_but_on_loopback(watched: Watched) -> None:
    commands = " ".join(command for command, _ in watched.exposure.ports.values())
    assert [name for name in LISTENERS if name not in commands] == []
    addresses = {address.removeprefix("::ffff:") for address in watched.exposure.addresses}
    assert [address for address in addresses if not ipaddress.ip_address(address).is_loopback] == []


def test_what_listens_wants_the_token_but_for_the_listeners_of_gloo(watched: Watched) -> None:
    commands = " ".join(command for command, _ in watched.asked)
    assert [name for name in (*LISTENERS, "orchestrator.cli") if name not in commands] == []
    others = [(command, said) for command, said in watched.asked if said != "token"]
    assert [said for _, said in others] == ["silence", "silence"]
    assert all(GANG in command for command, _ in others)


def test_ray_passes_no_secret_on_by_itself() -> None:
    keep_credentials()
    passed_on = class_cache.ENV_VARS_TO_PROPAGATE | constants.ENV_VARS_TO_PROPAGATE
    assert passed_on
    assert not [name for name in passed_on if re.search("KEY|TOKEN|SECRET|PASS|CREDENTIAL", name)]
