"""The nodes that a cluster's autoscaler may add, read on the head node: Ray itself lists only present nodes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.plan.placement import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_NODES = 1000
"""Stands for "without limit"."""
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def potential_workers(gcs_address: str) -> list[Machine] | None:
    """The worker nodes of the cluster at its largest; None where no autoscaler is found.

    The first of these sources counts: what an autoscaler has reported to Ray; the file that the head's autoscaler was
    started with; the RayCluster of this pod, which the head of an autoscaling KubeRay cluster may read.
    """
    reported = _reported()
    if reported is not None:
        return reported
    config = configured(gcs_address) or _ray_cluster()
    return None if config is None else largest(config)


def _reported() -> list[Machine] | None:
    """Node groups as a vendor's autoscaler reports them; Ray's own reports none."""
    from orchestrator.runtime.ray_private import reported_node_groups

    groups = reported_node_groups()
    return None if groups is None else _machines(groups, _MOST_NODES)


def configured(gcs_address: str) -> dict[str, Any] | None:
    """The file that the autoscaler of this machine's head was started with; None where there is none."""
    port = gcs_address.rpartition(":")[2]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # the process has ended, or is another user's
            continue
        options = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
        if options.get("--gcs-address", "").rpartition(":")[2] != port or "--autoscaling-config" not in options:
            continue
        path = process / "cwd" / Path(options["--autoscaling-config"]).expanduser()
        config: dict[str, Any] = yaml.safe_load(path.read_text())
        return config
    return None


def _ray_cluster() -> dict[str, Any] | None:
    """The same configuration of a KubeRay cluster, from its RayCluster, with the rights of the head's pod."""
    name = os.environ.get("RAY_CLUSTER_NAME")
    if name is None or "KUBERNETES_SERVICE_HOST" not in os.environ or not _NAMESPACE.is_file():
        return None
    from orchestrator.runtime.ray_private import kuberay_configuration

    try:
        return kuberay_configuration(_NAMESPACE, name)
    except OSError:  # no autoscaler, and so no right to read it
        return None


def largest(config: Mapping[str, Any]) -> list[Machine]:
    """The worker nodes that a configuration of Ray's autoscaler allows, those with most GPUs first.

    The head is no worker, whatever other nodes are of its type.
    """
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    parsed = AutoscalingConfig(dict(config), skip_content_hash=True)
    head = parsed.get_head_node_type()
    types = parsed.get_node_type_configs() or {}
    groups = [(kind.resources, kind.max_worker_nodes - (name == head)) for name, kind in types.items()]
    limit = parsed.get_max_num_worker_nodes()
    return _machines(groups, _MOST_NODES if limit is None else limit)


def _machines(groups: Iterable[tuple[Mapping[str, float], int]], limit: int) -> list[Machine]:
    """At most ``limit`` machines with the groups' resources and counts; a negative count is "without limit"."""
    machines: list[Machine] = []
    for resources, count in groups:
        machine = Machine(_amount(resources, "CPU"), _amount(resources, "GPU"))
        machines += [machine] * (_MOST_NODES if count < 0 else min(count, _MOST_NODES))
    return sorted(machines, key=lambda machine: (machine.gpus, machine.cpus), reverse=True)[:limit]


def _amount(resources: Mapping[str, float], name: str) -> int:
    return max(0, int(resources[name])) if name in resources else 0
