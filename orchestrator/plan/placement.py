"""What a trial is given and how many run at once, from what the machines hold."""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import PlacementError

if TYPE_CHECKING:
    from orchestrator.spec.job import Resources


_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time in each period of so many, as Linux control groups (version 2) give them."""


@dataclass(frozen=True)
class Machine:
    """Logical processors and GPUs that trials may take."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Placement:
    """Devices of one trial, and the number of trials at once."""

    device: str
    cpus: int
    gpus: float
    concurrent: int

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.concurrent} at once, {self.cpus} CPU{gpus} each"


def this_machine() -> Machine:
    """The processors this process may run on and the NVIDIA GPUs it may see, without importing torch."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = int(min(cpus, _container_cpus()))
    present = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    return Machine(cpus, min(present, _visible(os.environ.get("CUDA_VISIBLE_DEVICES"), present)))


def _container_cpus() -> float:
    """Processors that a container's time quota amounts to, rounded up; infinite without a quota."""
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no control groups here, or the quota is "max"
        return math.inf


def _visible(devices: str | None, present: int) -> int:
    """GPUs that CUDA_VISIBLE_DEVICES leaves; CUDA ends the list at its first empty or negative entry."""
    if devices is None:
        return present
    entries = (entry.strip() for entry in devices.split(","))
    return len(list(itertools.takewhile(lambda entry: entry and not entry.startswith("-"), entries)))


def place(resources: Resources, machine: Machine) -> Placement:
    """Devices for each trial of a job. Raises PlacementError for what this machine can never hold."""
    wanted = resources.gpus_per_worker
    gpus = (1.0 if machine.gpus else 0.0) if wanted is None else wanted
    if gpus > machine.gpus:
        raise PlacementError(
            f"resources.gpus_per_worker: got {gpus:g}, but there are {machine.gpus} GPUs here; "
            "--set resources.gpus_per_worker=0 trains on the CPU"
        )
    if resources.cpus_per_worker > machine.cpus:
        raise PlacementError(
            f"resources.cpus_per_worker: got {resources.cpus_per_worker}, but there are {machine.cpus} processors here"
        )
    fit = machine.cpus // resources.cpus_per_worker
    if gpus:
        # A trial never spans two GPUs: each holds a whole number of trials.
        fit = min(fit, machine.gpus * math.floor(1 / gpus + 1e-9))
    concurrent = min(fit, resources.max_concurrent or fit)
    return Placement("cuda" if gpus else "cpu", resources.cpus_per_worker, gpus, concurrent)
