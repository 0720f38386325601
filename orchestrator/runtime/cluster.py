"""A running Ray cluster, used from one of its nodes: join it, count its nodes, check its storage."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ClusterError, NotFoundError, OrchError, StorageError
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.runtime.autoscaler import potential_workers
from orchestrator.runtime.interrupt import children_block_signals, interrupts_deferred, terminated_as_interrupted
from orchestrator.runtime.launchers import SLURM
from orchestrator.runtime.local import private_folder, set_environment, silence_loggers, uncollected
from orchestrator.runtime.runtime_env import stage_package
from orchestrator.state.files import Nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.store.location import Store

_HEAD = "node:__internal_head__"
"""The resource by which Ray marks the head node."""
_CHECK_S = 300.0
"""How long the nodes may take to prepare a process of this job and to reach storage."""


@contextlib.contextmanager
def joined_ray() -> Iterator[None]:
    """Join the cluster that this machine is a node of, for the time of one command. Raises ClusterError.

    Ray blocks SIGINT in the processes of its jobs, and a cluster that was started with SIGTERM and SIGHUP blocked
    passes that on. This process unblocks all three.
    """
    set_environment()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    import ray

    # A command typed on a node sends the package to the others: Ray Jobs has done so already, Slurm's nodes share it.
    sends_package = "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ and os.environ.get("ORCH_ADDRESS") != SLURM
    try:
        with private_folder() as empty, private_folder() as staged, interrupts_deferred() as check, quiet_stdout():
            try:
                # The cluster's workers search modules in the driver's current folder before all others.
                with children_block_signals(), contextlib.chdir(empty):
                    ray.init(
                        address="auto",
                        runtime_env={"py_modules": [str(stage_package(Path(staged)))]} if sends_package else None,
                        logging_level=logging.CRITICAL,
                        log_to_driver=False,
                    )
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise ClusterError(f"--address auto: {_join_problem(error)}") from error
            silence_loggers()
            check()
        with terminated_as_interrupted():
            yield
    finally:
        with uncollected():
            ray.shutdown()


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Keep Ray's messages about dead workers off stdout, which is for results; Ray's own logs have them too."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _join_problem(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ConnectionError) and "Could not find any running Ray instance" in text:
        return "no Ray runs on this machine; from elsewhere give the cluster's URL, such as http://head:8265"
    hint = "is its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, and RAY_AUTH_MODE=token set?"
    return f"cannot join the Ray on this machine: {text[:300]}; {hint}"


def cluster_address() -> str:
    """The address of the joined cluster's head."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def cluster_now() -> Cluster:
    """Every node of the joined cluster at its largest: present ones, and those that an autoscaler may add."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    heads = [node for node in alive if _HEAD in node["Resources"]]
    others = [node for node in alive if _HEAD not in node["Resources"]]
    this_node = ray.get_runtime_context().get_node_id()
    task = ray.remote(num_cpus=0, max_retries=0)(potential_workers)
    workers: list[Machine] | None = None
    for head in heads:
        address = cluster_address()
        workers = (
            potential_workers(address) if head["NodeID"] == this_node else ray.get(_on(task, head).remote(address))
        )
    if workers is None:
        workers = [_machine(node["Resources"]) for node in others]
    return Cluster((*(_machine(node["Resources"]) for node in heads), *workers), where="in the cluster")


def _on(task: Any, node: Mapping[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))


def _machine(resources: Mapping[str, float]) -> Machine:
    return Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


def check_storage(store: Store) -> None:
    """Have every node of the joined cluster write to the store, and read what this process wrote there.

    The check finds nodes where the same path is another folder. Raises StorageError, which names the node.
    """
    import ray

    key = f"check-{secrets.token_hex(8)}"
    store.write(key, b"orch")
    task = ray.remote(num_cpus=0, max_retries=0)(_storage_problem)
    nodes = {_on(task, node).remote(store, key): node for node in ray.nodes() if node["Alive"]}
    try:
        ready, late = ray.wait(list(nodes), num_returns=len(nodes), timeout=_CHECK_S)
        for reference in ready:
            if problem := _result(reference):
                raise StorageError(f"node {nodes[reference]['NodeManagerAddress']}: {problem}")
        for reference in late:
            where = nodes[reference]["NodeManagerAddress"]
            raise StorageError(f"node {where}: {store.uri}: no answer in {_CHECK_S:.0f} s; is storage reachable there?")
    finally:
        store.delete(key)


def _storage_problem(store: Store, key: str) -> str | None:
    """Why this node cannot use the store; None where it can."""
    try:
        store.check()
        store.read(key)
    except NotFoundError:
        return f"{store.uri}: what the driver wrote is not there; all nodes must mount one folder, or take s3://"
    except OrchError as error:
        return str(error)
    return None


def _result(reference: Any) -> str | None:
    import ray

    try:
        answer: str | None = ray.get(reference)
    except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
        return None  # the node has left the cluster since it was counted: it need not reach storage
    except ray.exceptions.RayError as error:
        return f"cannot run this job: {' '.join(str(error).split())[:300]}"
    return answer


def count_nodes() -> Nodes | None:
    """The joined cluster's nodes; None where Ray cannot report them just now. Makes one request to the head node."""
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status

    try:
        status = get_cluster_status(cluster_address(), timeout=5)
    except (ray.exceptions.RayError, RuntimeError, TimeoutError):
        return None
    present = len(status.active_nodes) + len(status.idle_nodes)
    starting = sum(launch.count for launch in status.pending_launches) + len(status.pending_nodes)
    idle = sum(_HEAD not in node.total_resources() for node in status.idle_nodes)
    return Nodes(present + starting, present, idle)
