"""What fits on a machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import PlacementError
from orchestrator.plan import placement as module
from orchestrator.plan.placement import Cluster, Machine, Placement, place, this_machine
from orchestrator.spec.job import Resources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("resources", "machine", "expected"),
    [
        ({}, (2, 0), ("cpu", 1, 0.0, 2)),
        ({"cpus_per_worker": 2}, (5, 0), ("cpu", 2, 0.0, 2)),
        ({"max_concurrent": 3}, (8, 0), ("cpu", 1, 0.0, 3)),
        ({"max_concurrent": 30}, (8, 0), ("cpu", 1, 0.0, 8)),
        # a GPU each, where there are any and nothing is said
        ({}, (16, 2), ("cuda", 1, 1.0, 2)),
        ({"gpus_per_worker": 0}, (16, 2), ("cpu", 1, 0.0, 16)),
        ({"gpus_per_worker": 0.0}, (16, 0), ("cpu", 1, 0.0, 16)),
        # several on one GPU, never one on two
        ({"gpus_per_worker": 0.5}, (16, 2), ("cuda", 1, 0.5, 4)),
        ({"gpus_per_worker": 0.25}, (16, 1), ("cuda", 1, 0.25, 4)),
        ({"gpus_per_worker": 0.1}, (16, 1), ("cuda", 1, 0.1, 10)),
        ({"gpus_per_worker": 0.3}, (16, 2), ("cuda", 1, 0.3, 6)),
        ({"gpus_per_worker": 0.4}, (16, 3), ("cuda", 1, 0.4, 6)),
        ({"gpus_per_worker": 0.6}, (16, 2), ("cuda", 1, 0.6, 2)),
        # the processors may be what is short
        ({"gpus_per_worker": 0.1, "cpus_per_worker": 4}, (16, 1), ("cuda", 4, 0.1, 4)),
        ({"max_concurrent": 1}, (16, 8), ("cuda", 1, 1.0, 1)),
    ],
)
def test_what_fits(resources: dict[str, Any], machine: tuple[int, int], expected: tuple[Any, ...]) -> None:
    device, cpus, gpus, concurrent = expected
    cluster = Cluster((Machine(*machine),))
    assert place(Resources(**resources), 1, cluster) == Placement(device, 1, cpus, gpus, concurrent)


@pytest.mark.parametrize(
    ("resources", "workers", "nodes", "expected"),
    [
        ({}, 2, [(4, 0)], ("cpu", 1, 0.0, 2)),
        # a worker group may span nodes, a worker may not
        ({}, 2, [(1, 0), (1, 0), (1, 0)], ("cpu", 1, 0.0, 1)),
        ({"cpus_per_worker": 2}, 2, [(3, 0), (3, 0)], ("cpu", 2, 0.0, 1)),
        ({}, 4, [(8, 0), (32, 8), (32, 8)], ("cuda", 1, 1.0, 4)),
        ({"cpus_per_worker": 8}, 4, [(8, 0), (32, 8), (32, 8)], ("cuda", 8, 1.0, 2)),
        ({"gpus_per_worker": 0}, 3, [(4, 0), (4, 1)], ("cpu", 1, 0.0, 2)),
        ({"max_concurrent": 1}, 2, [(8, 0)], ("cpu", 1, 0.0, 1)),
        # worker groups are not counted in parts
        ({}, 3, [(8, 0)], ("cpu", 1, 0.0, 2)),
    ],
)
def test_what_fits_on_many_nodes(
    resources: dict[str, Any], workers: int, nodes: list[tuple[int, int]], expected: tuple[Any, ...]
) -> None:
    device, cpus, gpus, concurrent = expected
    cluster = Cluster(tuple(Machine(*node) for node in nodes))
    assert place(Resources(**resources), workers, cluster) == Placement(device, workers, cpus, gpus, concurrent)


@pytest.mark.parametrize(
    ("resources", "workers", "nodes", "message"),
    [
        ({}, 3, [(2, 0)], "resources.workers: got 3, but there is room for 2 here"),
        ({}, 3, [(64, 2)], "resources.workers: got 3, but there is room for 2 here"),
        # the processors beside the GPUs are what is short
        ({"cpus_per_worker": 8}, 2, [(64, 0), (8, 8)], "resources.workers: got 2, but there is room for 1 here"),
        (
            {"cpus_per_worker": 16},
            2,
            [(64, 0), (8, 8)],
            "resources.cpus_per_worker: got 16, but there are 8 processors here",
        ),
    ],
)
def test_worker_groups_that_never_fit(
    resources: dict[str, Any], workers: int, nodes: list[tuple[int, int]], message: str
) -> None:
    with pytest.raises(PlacementError) as caught:
        place(Resources(**resources), workers, Cluster(tuple(Machine(*node) for node in nodes)))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("resources", "machine", "message"),
    [
        (
            {"gpus_per_worker": 1},
            (2, 0),
            "resources.gpus_per_worker: got 1, but there are 0 GPUs here; "
            "--set resources.gpus_per_worker=0 trains on the CPU",
        ),
        (
            {"gpus_per_worker": 0.5},
            (2, 0),
            "resources.gpus_per_worker: got 0.5, but there are 0 GPUs here; "
            "--set resources.gpus_per_worker=0 trains on the CPU",
        ),
        ({"cpus_per_worker": 3}, (2, 0), "resources.cpus_per_worker: got 3, but there are 2 processors here"),
    ],
)
def test_what_never_fits(resources: dict[str, Any], machine: tuple[int, int], message: str) -> None:
    with pytest.raises(PlacementError) as caught:
        place(Resources(**resources), 1, Cluster((Machine(*machine),)))
    assert str(caught.value) == message


def test_a_placement_in_words() -> None:
    assert str(Placement("cpu", 1, 2, 0.0, 3)) == "3 at once, 2 CPU each"
    assert str(Placement("cuda", 1, 1, 0.5, 4)) == "4 at once, 1 CPU, 0.5 GPU each"
    assert str(Placement("cuda", 4, 8, 1.0, 2)) == "2 at once, 4 workers of 8 CPU, 1 GPU each"


def test_processors_are_those_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert this_machine().nodes[0].cpus == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("quota", "cpus"), [("100000 100000", 1), ("150000 100000", 2), ("max 100000", None), ("", None), (None, None)]
)
def test_a_containers_quota_counts(
    quota: str | None, cpus: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    monkeypatch.setattr(module, "_CPU_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert this_machine().nodes[0].cpus == (cpus or 64)
