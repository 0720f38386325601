"""What a cluster can hold at its largest, from the files that Ray's autoscaler reads."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.plan.placement import Machine
from orchestrator.runtime import autoscaler
from orchestrator.runtime.autoscaler import configured, largest, potential_workers

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ("setup", "head_setup", "worker_setup", "initialization", "head_start_ray", "worker_start_ray")


def config(types: dict[str, dict[str, Any]], head: str = "head", **changes: Any) -> dict[str, Any]:
    return {
        "cluster_name": "a",
        "max_workers": 10,
        "provider": {"type": "external", "module": "none.Such"},
        "available_node_types": {name: {"node_config": {}, "min_workers": 0, **kind} for name, kind in types.items()},
        "head_node_type": head,
        **{f"{name}_commands": [] for name in COMMANDS},
        **{name: {} for name in ("file_mounts", "auth", "docker")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        **changes,
    }


HEAD = {"resources": {"CPU": 8}, "max_workers": 0}
GPU = {"resources": {"CPU": 16, "GPU": 4, "memory": 1e9}, "max_workers": 3}
CPU = {"resources": {"CPU": 64}, "max_workers": 2}


@pytest.mark.parametrize(
    ("given", "machines"),
    [
        (config({"head": HEAD}), []),
        (config({"head": HEAD, "cpu": CPU, "gpu": GPU}), [Machine(16, 4)] * 3 + [Machine(64, 0)] * 2),
        (config({"head": HEAD, "cpu": CPU, "gpu": GPU}, max_workers=4), [Machine(16, 4)] * 3 + [Machine(64, 0)]),
        (config({"head": HEAD, "cpu": CPU}, max_workers=0), []),
        # The head itself is of this type; two more may come.
        (config({"head": {**HEAD, "max_workers": 2}}), [Machine(8, 0)] * 2),
        # Where a type does not say, the cluster's limit is its own.
        (config({"head": HEAD, "cpu": {"resources": {"CPU": 2}}}, max_workers=3), [Machine(2, 0)] * 3),
    ],
)
def test_worker_nodes_of_a_configuration(given: dict[str, Any], machines: list[Machine]) -> None:
    assert largest(given) == machines


def test_a_file_is_found_by_the_autoscaler_that_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(config({"head": HEAD, "cpu": CPU})))
    options = ["--gcs-address=10.1.2.3:64321", f"--autoscaling-config={file}"]
    with subprocess.Popen([sys.executable, "-c", "input()", *options], stdin=subprocess.PIPE) as monitor:
        give_up = time.monotonic() + 30
        while (found := configured("127.0.0.1:64321")) is None:
            assert time.monotonic() < give_up
        assert configured("10.1.2.3:64322") is None
        monitor.communicate(b"\n")
    assert largest(found) == [Machine(64, 0)] * 2


def test_no_autoscaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaler, "_reported", lambda: None)
    monkeypatch.delenv("RAY_CLUSTER_NAME", raising=False)
    assert potential_workers("127.0.0.1:1") is None


def group(name: str, cpus: str, gpus: str | None, most: int, **more: Any) -> dict[str, Any]:
    limits = {"cpu": cpus, "memory": "8Gi", **({"nvidia.com/gpu": gpus} if gpus else {})}
    containers = [{"name": "ray", "image": "i", "resources": {"limits": limits}}]
    return {
        "groupName": name,
        "minReplicas": 0,
        "maxReplicas": most,
        "rayStartParams": {},
        "template": {"spec": {"containers": containers}},
        **more,
    }


RAY_CLUSTER: dict[str, Any] = {
    "metadata": {"name": "study", "namespace": "orch"},
    "spec": {
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {**group("head", "4", None, 0), "rayStartParams": {"num-cpus": "0"}},
        "workerGroupSpecs": [group("spot", "8", "1", 6), group("big", "32", "8", 2, numOfHosts=2)],
    },
}


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The head's pod of a KubeRay cluster; the paths that it has asked Kubernetes for."""
    from ray.autoscaler._private.kuberay import node_provider

    asked: list[str] = []

    def get(path: str) -> dict[str, Any]:
        asked.append(path)
        return RAY_CLUSTER

    (tmp_path / "namespace").write_text("orch\n")
    monkeypatch.setattr(autoscaler, "_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr(autoscaler, "_reported", lambda: None)
    monkeypatch.setattr(
        node_provider, "KubernetesHttpApiClient", lambda namespace: asked.append(namespace) or SimpleNamespace(get=get)
    )
    monkeypatch.setenv("RAY_CLUSTER_NAME", "study")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    return asked


def test_worker_groups_of_a_kuberay_cluster(pod: list[str]) -> None:
    assert potential_workers("127.0.0.1:1") == [Machine(32, 8)] * 4 + [Machine(8, 1)] * 6
    assert pod == ["orch", "rayclusters/study"]


def test_a_kuberay_cluster_of_fixed_size(pod: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RAY_CLUSTER["spec"], "enableInTreeAutoscaling", False)
    assert potential_workers("127.0.0.1:1") is None


def test_what_a_vendor_s_autoscaler_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.state import state
    from ray.core.generated.autoscaler_pb2 import ClusterConfig

    reported = ClusterConfig()
    for cpus, most in ((4, 2), (8, -1), (2, 0)):
        reported.node_group_configs.add(resources={"CPU": cpus}, max_count=most)
    monkeypatch.setattr(state, "get_cluster_config", lambda: reported)
    found = potential_workers("127.0.0.1:1")
    assert found == [Machine(8, 0)] * 1000
