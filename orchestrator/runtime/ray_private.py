"""Ray's names that are not part of its public interface, all in one place; checked with Ray 2.60.

Another minor version may have moved them: run ``tests/runtime`` and ``tests/ray`` with it first.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import ray
from ray._private import ray_constants
from ray._private.state import state
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.core.generated.gcs_pb2 import PlacementGroupTableData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHECKED_WITH = "2.60"

CHATTY_LOGGERS = ("ray._private.runtime_env.packaging", "ray._private.runtime_env.working_dir")
"""Loggers that report every upload of a working directory."""


def local_node() -> Any:
    """The node that this process has started, with ``all_processes``; None where it has joined a cluster, or none."""
    return ray._private.worker._global_node


def started_processes() -> dict[str, Any]:
    """The processes that the Ray of this run has started, by kind; each has a ``process`` (Popen)."""
    node = local_node()
    return {} if node is None else node.all_processes


def draining_nodes() -> set[str]:
    """The hexadecimal ids of the nodes that are being drained. Makes one small request to the head node."""
    return set(state.get_draining_nodes())


def reported_node_groups() -> list[tuple[Mapping[str, float], int]] | None:
    """Resources and largest count of node groups, as a vendor's autoscaler reports them; None where none does."""
    config = state.get_cluster_config()
    if config is None or not config.node_group_configs:
        return None
    return [(group.resources, group.max_count) for group in config.node_group_configs]


def orphaned_placement_groups(job_id: str) -> list[bytes]:
    """The ids of the placement groups of a job whose creator was an actor that is dead, and which still exist."""
    records = state._connect_and_get_accessor().get_placement_group_table()
    groups = [PlacementGroupTableData.FromString(record) for record in records]
    return [
        group.placement_group_id
        for group in groups
        # The driver's own groups have no actor as creator, which counts as a dead one.
        if group.creator_actor_dead
        and group.creator_actor_id != ray.ActorID.nil().binary()
        and group.state != PlacementGroupTableData.PlacementGroupState.REMOVED
        and not group.is_detached
        and group.creator_job_id.hex() == job_id
    ]


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Ray that starts in this context takes 127.0.0.1 for its address, and reads its token from the environment."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    try:
        ray_constants.ENABLE_RAY_CLUSTER = False  # read from the environment when Ray was imported
        _reread_environment()
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        _reread_environment()


def _reread_environment() -> None:
    """Ray reads the authentication mode and token once, and would use the token of the run before."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def propagated_variables() -> set[str]:
    """The environment variables that Tune passes on to its workers; what is removed from the set stays here."""
    from ray.tune.execution import class_cache  # imports Tune, which takes a second

    variables: set[str] = class_cache.ENV_VARS_TO_PROPAGATE
    return variables


def kuberay_configuration(namespace: Path, name: str) -> dict[str, Any] | None:
    """The autoscaler's configuration of a RayCluster, read with this pod's rights; None where it has no autoscaler.

    Raises OSError, of which requests.RequestException is a kind.
    """
    # Not at the top: only pods have what these need.
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient

    cluster = KubernetesHttpApiClient(namespace.read_text().strip()).get(f"rayclusters/{name}")
    if not cluster["spec"].get("enableInTreeAutoscaling"):
        return None
    config: dict[str, Any] = _derive_autoscaling_config_from_ray_cr(cluster)
    return config


_UNUSED_CALLBACKS = ("PlacementGroupCleanerCallback", "DatasetsCallback")


def without_helpers(trainer: Any) -> None:
    """Have a trainer of Ray Train start none of the helpers that are of no use here, a process each for every group.

    One watches its placement group, which ``runtime.orphans`` does, and needs Ray's dashboard. The other hands out
    shards of Ray's data sets, of which there are none, and has every worker import ``ray.data``.
    """
    create = trainer._create_default_callbacks
    trainer._create_default_callbacks = lambda: [
        callback for callback in create() if type(callback).__name__ not in _UNUSED_CALLBACKS
    ]
