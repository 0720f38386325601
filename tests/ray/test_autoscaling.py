"""A cluster that grows with a sweep and shrinks after it: Ray's own autoscaler, with nodes that are processes."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.spec.job import make_job
from orchestrator.state.files import Nodes, read_state
from orchestrator.store.open import open_store
from tests.ray.checks import assert_exactly_once
from tests.ray.conftest import raw_job
from tests.ray.nodes import wait_until
from tests.ray.processes import below, signal_each

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

PORT = 6379  # the only one that this provider of nodes knows
HEAD_ID = "f" * 51 + "00000"
HEAD = "ray.head.default"  # the provider knows its type by no other name
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
COMMANDS = ("setup", "head_setup", "worker_setup", "initialization", "head_start_ray", "worker_start_ray")
CLUSTER: dict[str, Any] = {
    "cluster_name": "grows",
    "max_workers": 2,
    "idle_timeout_minutes": 0.1,
    "provider": {"type": "external", "module": PROVIDER, "head_node_id": HEAD_ID, "launch_multiple": True},
    "available_node_types": {
        HEAD: {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 0},
        "gpu": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    "head_node_type": HEAD,
    **{f"{name}_commands": [] for name in COMMANDS},
    **{name: {} for name in ("file_mounts", "auth", "docker")},
    **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
}


@pytest.fixture
def head(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head with the autoscaler and no node that could train; the environment that reaches it."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"port {PORT}, which this provider of nodes insists on, is taken")
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(CLUSTER))
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    known = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    environment = known | {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={PORT}", "--num-cpus=1"]
    command += [f"--autoscaling-config={file}", "--dashboard-port=8399", "--block"]
    log = (tmp_path / "head.log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: "Ray runtime started" in (tmp_path / "head.log").read_text(), "the head's start")
        yield known | {"RAY_ADDRESS": f"127.0.0.1:{PORT}"}
    finally:
        # The head started its own processes and the nodes: all are its children.
        signal_each(below(process.pid), signal.SIGKILL)
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def driver(tmp_path: Path, head: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A sweep of three trials that want a GPU each, on its way."""
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job_on(tmp_path)))
    command = [sys.executable, "-m", "tests.ray.pretend", "submit", "job.yaml", "--address", "auto"]
    environment = head | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def job_on(folder: Path) -> dict[str, Any]:
    raw = raw_job(grid={"training.seed": [0, 1, 2]}, resources={"gpus_per_worker": 1})
    return {**raw, "storage": str(folder / "results")}


def test_nodes_come_for_a_sweep_and_leave_after_it(
    tmp_path: Path, head: dict[str, str], driver: subprocess.Popen[str]
) -> None:
    raw = job_on(tmp_path)
    store = open_store(raw["storage"]).child(raw["name"])
    seen: list[Nodes] = []
    began = time.monotonic()
    while driver.poll() is None:
        assert time.monotonic() - began < 150, "the sweep did not end"
        state = read_state(store)
        if state is not None and state.nodes is not None and state.nodes not in seen[-1:]:
            seen.append(state.nodes)
            print(f"{time.monotonic() - began:5.1f} s: {state.nodes}")
        time.sleep(0.2)
    assert driver.returncode == 0, driver.stderr.read() if driver.stderr else ""
    assert_exactly_once(store, make_job(raw, "job.yaml").trials)
    assert max(nodes.present for nodes in seen) == 3
    assert any(nodes.wanted > nodes.present for nodes in seen)
    wait_until(lambda: nodes_alive(head) == 1, "the nodes' leaving")
    print(f"{time.monotonic() - began:5.1f} s: the head alone is left")


def nodes_alive(environment: dict[str, str]) -> int:
    """Nodes that Ray counts, the head among them."""
    code = "import ray; ray.init(log_to_driver=False, logging_level='ERROR'); "
    code += "print('alive:', sum(node['Alive'] for node in ray.nodes()))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    (alive,) = re.findall(r"^alive: (\d+)$", done.stdout, re.M)  # Ray may print lines of its own
    return int(alive)
