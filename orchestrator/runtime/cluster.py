"""A Ray cluster that runs already, seen from one of its nodes: joined, counted, and its storage checked."""

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
from orchestrator.runtime.autoscaler import may_come
from orchestrator.runtime.interrupt import deaf_processes, interrupts_deferred, terminated_as_interrupted
from orchestrator.runtime.local import private_folder, set_environment, silence_loggers, uncollected
from orchestrator.runtime.runtime_env import stage_package
from orchestrator.state.files import Nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.store.location import Store

_HEAD = "node:__internal_head__"
"""The resource by which Ray marks the head node."""
_CHECK_S = 300.0
"""How long the nodes may take to prepare a process of this job and ask storage."""


@contextlib.contextmanager
def joined_ray() -> Iterator[None]:
    """Join the cluster that this machine is a node of, for the time of one command. Raises ClusterError.

    Ray starts the processes of its jobs deaf to SIGINT; this one listens again. A cluster whose processes are deaf to
    SIGTERM and SIGHUP as well passes that on.
    """
    set_environment()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    import ray

    # A job of Ray Jobs has its package from there; a command typed on a node brings it along.
    travels = "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ
    try:
        with private_folder() as empty, private_folder() as staged, interrupts_deferred() as check, quiet_stdout():
            try:
                # Ray has the cluster's workers look for modules in the driver's current folder before all others.
                with deaf_processes(), contextlib.chdir(empty):
                    ray.init(
                        address="auto",
                        runtime_env={"py_modules": [str(stage_package(Path(staged)))]} if travels else None,
                        logging_level=logging.CRITICAL,
                        log_to_driver=False,
                    )
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise ClusterError(f"--address auto: {_joining(error)}") from error
            silence_loggers()
            check()
        with terminated_as_interrupted():
            yield
    finally:
        with uncollected():
            ray.shutdown()


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Keep what Ray has to say of dead workers off stdout, which is for results; its own logs have it too."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _joining(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ConnectionError) and "Could not find any running Ray instance" in text:
        return "no Ray runs on this machine; from elsewhere give the cluster's URL, such as http://head:8265"
    cause = "is its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, and RAY_AUTH_MODE=token set?"
    return f"cannot join the Ray on this machine: {text[:300]}; {cause}"


def cluster_address() -> str:
    """Where the joined cluster is."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def cluster_now() -> Cluster:
    """Every node that the joined cluster can hold at its largest: present ones, and those an autoscaler may bring."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    heads = [node for node in alive if _HEAD in node["Resources"]]
    others = [node for node in alive if _HEAD not in node["Resources"]]
    here = ray.get_runtime_context().get_node_id()
    task = ray.remote(num_cpus=0, max_retries=0)(may_come)
    comes: list[Machine] | None = None
    for head in heads:
        address = cluster_address()
        comes = may_come(address) if head["NodeID"] == here else ray.get(_on(task, head).remote(address))
    if comes is None:
        comes = [_machine(node["Resources"]) for node in others]
    return Cluster((*(_machine(node["Resources"]) for node in heads), *comes), where="in the cluster")


def _on(task: Any, node: Mapping[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))


def _machine(resources: Mapping[str, float]) -> Machine:
    return Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


def check_storage(store: Store) -> None:
    """Have every node of the joined cluster write to the store, and read what this process wrote there.

    A folder of the same name that is not the same folder is found out by that. Raises StorageError, which names
    the node.
    """
    import ray

    key = f"check-{secrets.token_hex(8)}"
    store.write(key, b"orch")
    task = ray.remote(num_cpus=0, max_retries=0)(_ask)
    nodes = {_on(task, node).remote(store, key): node for node in ray.nodes() if node["Alive"]}
    try:
        ready, late = ray.wait(list(nodes), num_returns=len(nodes), timeout=_CHECK_S)
        for reference in ready:
            if problem := _answer(reference):
                raise StorageError(f"node {nodes[reference]['NodeManagerAddress']}: {problem}")
        for reference in late:
            where = nodes[reference]["NodeManagerAddress"]
            raise StorageError(f"node {where}: {store.uri}: no answer in {_CHECK_S:.0f} s; is storage reachable there?")
    finally:
        store.delete(key)


def _ask(store: Store, key: str) -> str | None:
    """What keeps this node from using the store, if anything does."""
    try:
        store.check()
        store.read(key)
    except NotFoundError:
        return f"{store.uri}: what the driver wrote is not there; all nodes must mount one folder, or take s3://"
    except OrchError as error:
        return str(error)
    return None


def _answer(reference: Any) -> str | None:
    import ray

    try:
        answer: str | None = ray.get(reference)
    except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
        return None  # the node has gone since it was counted, and what it cannot reach with it
    except ray.exceptions.RayError as error:
        return f"cannot run this job: {' '.join(str(error).split())[:300]}"
    return answer


def count_nodes() -> Nodes | None:
    """The joined cluster's nodes; None where Ray cannot tell just now. Asks Ray's head node, once."""
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status

    try:
        status = get_cluster_status(cluster_address(), timeout=5)
    except (ray.exceptions.RayError, RuntimeError, TimeoutError):
        return None
    present = len(status.active_nodes) + len(status.idle_nodes)
    coming = sum(launch.count for launch in status.pending_launches) + len(status.pending_nodes)
    idle = sum(_HEAD not in node.total_resources() for node in status.idle_nodes)
    return Nodes(present + coming, present, idle)
