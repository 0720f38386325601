"""A cluster from inside: its nodes, and whether each of them reaches storage. One node plays all parts here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import ray

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.plan.placement import Machine
from orchestrator.runtime.cluster import check_storage, cluster_address, cluster_now, count_nodes
from orchestrator.state.files import Nodes
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("ray_here")


class OnlyHere(LocalStore):
    """Can be reached by the process that made it, and by no other."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.process = os.getpid()

    def check(self) -> None:
        if os.getpid() != self.process:
            raise StorageError(f"{self.uri}: cannot write: permission denied")


class NotShared(OnlyHere):
    """A folder that each machine has for itself."""

    def check(self) -> None:
        pass

    def read(self, key: str, limit: int | None = None) -> bytes:
        if os.getpid() != self.process:
            raise NotFoundError(f"{self.uri}/{key}: no such file")
        return super().read(key, limit)


def test_storage_that_every_node_reaches(tmp_path: Path) -> None:
    check_storage(LocalStore(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (OnlyHere, "{uri}: cannot write: permission denied"),
        (NotShared, "{uri}: what the driver wrote is not there; all nodes must mount one folder, or take s3://"),
    ],
)
def test_storage_that_a_node_does_not_reach(tmp_path: Path, kind: type[OnlyHere], problem: str) -> None:
    store = kind(tmp_path)
    with pytest.raises(StorageError) as caught:
        check_storage(store)
    address = ray.nodes()[0]["NodeManagerAddress"]
    assert str(caught.value) == f"node {address}: {problem.format(uri=store.uri)}"
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_of_fixed_size_is_its_nodes() -> None:
    cluster = cluster_now()
    assert (cluster.nodes, cluster.where) == ((Machine(cpus=2, gpus=2),), "in the cluster")


def test_nodes_are_counted() -> None:
    assert cluster_address() == ray.get_runtime_context().gcs_address
    assert count_nodes() == Nodes(wanted=1, present=1, idle=0)
