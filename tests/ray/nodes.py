"""A Ray of several nodes on this machine, whose nodes and processes can be taken away."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from ray.cluster_utils import Cluster

from tests.ray.processes import below, named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE_S = 240
"""How long to wait for what takes half a minute on two processors that have nothing else to do."""
WORKERS = ("RayTrainWorker", "TrialWorker", "ResourceTrainable")
"""What Ray calls the processes that train: those of a worker group, and Tune's own."""
EVALUATORS = ("ray::EvaluationWorker.evaluate",)
"""What it calls those that evaluate, for as long as they do."""


class Nodes:
    """A head that trains nothing, and ``count`` nodes of one processor each: a worker group always spans several."""

    def __init__(self, count: int) -> None:
        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(count)]
        self.cluster.wait_for_nodes()

    def close(self) -> None:
        """End every process of the cluster."""
        self.cluster.shutdown()

    def refill(self, count: int) -> None:
        """Bring the cluster back to so many nodes that take work."""
        while len(self.nodes) < count:
            self.nodes.append(self.cluster.add_node(num_cpus=1))

    def training(self) -> list[tuple[Any, int]]:
        """Each node that trains, with the process that does."""
        return [(node, pid) for node in self.nodes for pid in processes_of(node, WORKERS)]

    def evaluating(self) -> list[tuple[Any, int]]:
        """Each node that evaluates, with the process that does."""
        return [(node, pid) for node in self.nodes for pid in processes_of(node, EVALUATORS)]

    def kill(self, node: Any) -> None:
        """Take a node away without a word."""
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def drain(self, node: Any, deadline_s: int) -> None:
        """Tell Ray that a node will be preempted, as a cloud's notice does."""
        self.nodes.remove(node)
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", self.cluster.address]
        command += ["--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        subprocess.run([*command, "--deadline-remaining-seconds", str(deadline_s)], check=True, capture_output=True)


def processes_of(node: Any, names: Sequence[str]) -> list[int]:
    """Process ids of a node's workers that Ray calls by one of the names."""
    (raylet,) = (info.process.pid for info in node.all_processes["raylet"])
    return [process.pid for process in named(below(raylet), *names)]


def wait_until(true: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first true answer; fails the test, saying what did not happen, when time is up."""
    deadline = time.monotonic() + timeout_s
    while not (answer := true()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)
    return answer
