"""The devices of a trial and the number of trials at once, from the machines' processors and GPUs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import PlacementError
from orchestrator.hardware import processor
from orchestrator.plan.gpus import usable_gpus

if TYPE_CHECKING:
    from orchestrator.spec.job import Resources


_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Holds two numbers: microseconds of processor time, and of the period they are for (control groups, version 2)."""


@dataclass(frozen=True)
class Machine:
    """Logical processors and GPUs that trials may take."""

    cpus: int
    gpus: int
    computes_bf16: bool = True
    """Whether its processor does; True where that is not known."""


@dataclass(frozen=True)
class Cluster:
    """Every node of the cluster at its largest, with those that an autoscaler may still add."""

    nodes: tuple[Machine, ...]
    where: str = "here"

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return sum(node.gpus for node in self.nodes)


@dataclass(frozen=True)
class Placement:
    """Devices of one trial, each with a worker process of its own, and the number of trials at once.

    ``cpus`` and ``gpus`` are those of a worker.
    """

    device: str
    workers: int
    cpus: int
    gpus: float
    concurrent: int

    def __str__(self) -> str:
        workers = f"{self.workers} workers of " if self.workers > 1 else ""
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.concurrent} at once, {workers}{self.cpus} CPU{gpus} each"


def this_machine() -> Cluster:
    """The processors this process may run on, and the NVIDIA GPUs (or parts of them) that its trials can use."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = int(min(cpus, _container_cpus()))
    return Cluster((Machine(cpus, len(usable_gpus()), processor().computes_bf16),))


def _container_cpus() -> float:
    """A container's time quota in processors, rounded up; infinite without a quota."""
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no control groups here, or the quota is "max"
        return math.inf


def place(resources: Resources, workers: int, cluster: Cluster) -> Placement:
    """Devices for each trial of ``workers`` devices. Raises PlacementError for a request that can never be met.

    A trial starts only once it has all its devices, so that ``concurrent`` trials never wait for each other.
    """
    gpus_per_worker, cpus, where = resources.gpus_per_worker, resources.cpus_per_worker, cluster.where
    gpus = (1.0 if cluster.gpus else 0.0) if gpus_per_worker is None else gpus_per_worker
    if gpus > cluster.gpus:
        raise PlacementError(
            f"resources.gpus_per_worker: got {gpus:g}, but there are {cluster.gpus} GPUs {where}; "
            "--set resources.gpus_per_worker=0 trains on the CPU"
        )
    most_cpus = max((node.cpus for node in cluster.nodes if node.gpus >= gpus), default=0)
    if cpus > most_cpus:
        raise PlacementError(f"resources.cpus_per_worker: got {cpus}, but there are {most_cpus} processors {where}")
    fit = sum(_workers_on(node, cpus, gpus) for node in cluster.nodes)
    if workers > fit:
        raise PlacementError(f"resources.workers: got {workers}, but there is room for {fit} {where}")
    concurrent = min(fit // workers, resources.max_concurrent or fit)
    return Placement("cuda" if gpus else "cpu", workers, cpus, gpus, concurrent)


def _workers_on(node: Machine, cpus: int, gpus: float) -> int:
    fit = node.cpus // cpus
    # A worker never spans two GPUs: each holds a whole number of workers.
    return min(fit, node.gpus * math.floor(1 / gpus + 1e-9)) if gpus else fit
