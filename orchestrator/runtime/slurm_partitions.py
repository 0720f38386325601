"""What a Slurm's partitions can give, what a job asks of them, and what its allocation will hold."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.durations import duration
from orchestrator.errors import ClusterError, SettingsError
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.runtime.slurm_commands import ask
from orchestrator.spec.messages import show
from orchestrator.spec.slurm import seconds_of, storing_s
from orchestrator.text import listing, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_COLUMNS = ("%R", "%P", "%N", "%c", "%m", "%G", "%l", "%L", "%s", "%h")
"""Partition, the same with a star for the default, node, processors, MB, other resources, limit and default of time,
numbers of nodes a job may have, and whether jobs get nodes whole; see the manual page of sinfo."""
_NAMED = ("partition", "nodes", "gpus-per-node", "time")
_MB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
_SIZE = re.compile(r"(\d+)([KMGT]?)B?", re.IGNORECASE)
_START = re.compile(r"to start at (\S+) using .* on nodes? (\S+)")


@dataclass(frozen=True)
class Node:
    """Logical processors, GPUs by type (an empty one where the site names none), and memory in MB."""

    name: str
    cpus: int
    gpus: tuple[tuple[str, int], ...]
    memory_mb: int

    def count_gpus(self, kind: str = "") -> int:
        """GPUs of a type, or all of them."""
        return sum(count for name, count in self.gpus if kind in ("", name))


@dataclass(frozen=True)
class Partition:
    """A partition with its nodes. Times are in seconds, None for no limit; ``most_nodes`` is a job's."""

    name: str
    default: bool
    nodes: tuple[Node, ...]
    time_s: int | None
    default_time_s: int | None
    most_nodes: float
    whole: bool
    """Whether every job gets its nodes whole."""


class _Asked(NamedTuple):
    """What a job asks of each node: its value, and the option by which it does."""

    amount: int
    option: str
    kind: str = ""


@dataclass(frozen=True)
class Allocation:
    """What a job will have: nodes of a partition with processors, GPUs and memory each, and for how long.

    ``time_s`` is None without a limit, ``storing_s`` the part of it that is kept for storing states, and ``given``
    whether the job says the limit. ``memory_mb`` is None where it is not known.
    """

    partition: str
    nodes: int
    cpus: int
    gpus: int
    memory_mb: int | None
    time_s: int | None
    storing_s: int
    given: bool

    @property
    def cluster(self) -> Cluster:
        """It as the machines of a plan."""
        return Cluster((Machine(self.cpus, self.gpus),) * self.nodes, "in the allocation")

    def requeues(self, needs_s: float, start_s: float) -> float:
        """How often a study of ``needs_s`` seconds is requeued, each attempt taking ``start_s`` to begin and to end.

        Infinite where an attempt ends before it has done anything.
        """
        if self.time_s is None:
            return 0
        work_s = self.time_s - self.storing_s - start_s
        return max(0, math.ceil((needs_s - start_s) / work_s) - 1) if work_s > 0 else math.inf


def read_partitions() -> list[Partition]:
    """The partitions of which this user may know, by name: sinfo's order changes. Raises ClusterError."""
    rows: dict[str, list[list[str]]] = {}
    for line in ask(["sinfo", "--noheader", "--Node", f"--format={'|'.join(_COLUMNS)}"]).splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == len(_COLUMNS):
            rows.setdefault(fields[0], []).append(fields)
    return [_partition(name, each) for name, each in sorted(rows.items())]


def _partition(name: str, rows: Sequence[Sequence[str]]) -> Partition:
    _, starred, _, _, _, _, limit, default, size, shared = rows[0]
    most = size.rpartition("-")[2]
    nodes = tuple(Node(row[2], _whole(row[3]), _gpus(row[5]), _whole(row[4])) for row in rows)
    most_nodes = int(most) if most.isdecimal() else math.inf
    times = seconds_of(limit), seconds_of(default)
    return Partition(name, starred.endswith("*"), nodes, *times, most_nodes, shared == "EXCLUSIVE")


def _whole(text: str) -> int:
    """A number of sinfo, which writes ``+`` after one that is larger on some nodes."""
    number = re.match(r"\d+", text)
    return int(number[0]) if number else 0


def _gpus(text: str) -> tuple[tuple[str, int], ...]:
    """The GPUs in a list such as ``gpu:a100:8(S:0-1),nvme:1``."""
    parts = (part.split(":") for part in re.sub(r"\([^)]*\)", "", text).split(","))
    return tuple((":".join(part[1:-1]), _whole(part[-1])) for part in parts if part[0] == "gpu" and len(part) > 1)


def fitting(options: Mapping[str, str | int | bool], partitions: Sequence[Partition]) -> tuple[Partition, list[Node]]:
    """The partition that a job gets by its options, and the nodes of it that can hold it.

    Raises SettingsError for what none of the partitions asked for can ever give: option, value, what is allowed.
    """
    names = str(options["partition"]).split(",") if "partition" in options else []
    known = {partition.name: partition for partition in partitions}
    for name in names:
        if name not in known:
            raise _refused("partition", name, f"expected one of {', '.join(known)}")
    candidates = [known[name] for name in names] or [partition for partition in partitions if partition.default]
    if not candidates:
        problem = f"is missing, expected one of {', '.join(known)}: this Slurm has none by default"
        raise SettingsError("--partition", "", problem)
    problems: list[SettingsError] = []
    for partition in candidates:
        try:
            return partition, _holding(options, partition)
        except SettingsError as problem:
            problems.append(problem)
    raise problems[0]


def _holding(options: Mapping[str, str | int | bool], partition: Partition) -> list[Node]:
    nodes, where = int(options["nodes"]), f"in partition {partition.name}"
    asked_s = seconds_of(str(options.get("time", "")))
    if asked_s is not None and partition.time_s is not None and asked_s > partition.time_s:
        raise _refused("time", options["time"], f"expected at most {duration(partition.time_s)} {where}")
    gpus, cpus, memory = _asked_gpus(options), _asked_cpus(options), _asked_memory(options)
    kinds = sorted({kind for node in partition.nodes for kind, _ in node.gpus if kind})
    most = max(node.count_gpus(gpus.kind) for node in partition.nodes)
    if gpus.amount > most:
        of = f" {gpus.kind}" if gpus.kind else ""
        have = f"; there are {', '.join(kinds)}" if gpus.kind and kinds else ""
        raise _refused(gpus.option, options[gpus.option], f"expected at most {most}{of} GPUs of a node {where}{have}")
    most = max(node.cpus for node in partition.nodes)
    if cpus.amount > most:
        raise _refused(cpus.option, cpus.amount, f"expected at most {most} processors of a node {where}")
    most = max(node.memory_mb for node in partition.nodes)
    if memory is not None and memory.amount > most:
        asked = options[memory.option]
        raise _refused(memory.option, asked, f"expected at most {most} MB of a node {where}")
    fit = [node for node in partition.nodes if node.count_gpus(gpus.kind) >= gpus.amount and node.cpus >= cpus.amount]
    fit = [node for node in fit if memory is None or node.memory_mb >= memory.amount]
    room = min(len(fit), partition.most_nodes)
    if nodes > room:
        limit = (
            "" if room < len(fit) or len(fit) == len(partition.nodes) else f": others lack {_wants(gpus, cpus, memory)}"
        )
        raise _refused("nodes", nodes, f"expected at most {room:.0f} {where}{limit}")
    return fit


def _wants(gpus: _Asked, cpus: _Asked, memory: _Asked | None) -> str:
    parts = [plural(gpus.amount, "GPU")] if gpus.amount else []
    parts.append(plural(cpus.amount, "processor"))
    return listing([*parts, *([f"{memory.amount} MB"] if memory else [])])


def _refused(option: str, value: object, expected: str) -> SettingsError:
    place = (f"--{option}", "") if option in _NAMED else ("--slurm", option)
    return SettingsError(*place, f"got {show(value)}, {expected}")


def _asked_gpus(options: Mapping[str, str | int | bool]) -> _Asked:
    for option in ("gpus-per-node", "gpus-per-task", "gpus", "gres"):
        text = str(options.get(option, ""))
        parts = text.split(":") if option != "gres" else text.partition("gpu:")[2].partition(",")[0].split(":")
        if parts[-1].isdecimal():
            number = int(parts[-1])
            number = math.ceil(number / int(options["nodes"])) if option == "gpus" else number
            return _Asked(number, option, ":".join(parts[:-1]))
    return _Asked(0, "gpus-per-node")


def _asked_cpus(options: Mapping[str, str | int | bool]) -> _Asked:
    for option in ("cpus-per-task", "mincpus", "cpus-per-gpu"):
        if str(options.get(option, "")).isdecimal():
            times = _asked_gpus(options).amount if option == "cpus-per-gpu" else 1
            return _Asked(int(options[option]) * times, option)
    return _Asked(1, "cpus-per-task")


def _asked_memory(options: Mapping[str, str | int | bool]) -> _Asked | None:
    """Memory in MB that each node must have; None where the job does not say, or takes all."""
    each = {"mem": 1, "mem-per-cpu": _asked_cpus(options).amount, "mem-per-gpu": _asked_gpus(options).amount}
    for option, times in each.items():
        if (size := _SIZE.fullmatch(str(options.get(option, "")))) and int(size[1]):
            return _Asked(math.ceil(int(size[1]) * _MB[size[2].upper() or "M"] * times), option)
    return None


def allocation_of(options: Mapping[str, str | int | bool]) -> Allocation:
    """What a job with these options for sbatch will hold; where nodes differ, the least that it can get.

    Raises SettingsError for what it can never have, ClusterError.
    """
    partition, nodes = fitting(options, read_partitions())
    gpus, cpus = _asked_gpus(options).amount, _asked_cpus(options).amount
    if partition.whole or options.get("exclusive") is True:
        gpus, cpus = min(node.count_gpus() for node in nodes), min(node.cpus for node in nodes)
    asked, memory = _asked_memory(options), min(node.memory_mb for node in nodes)
    memory_mb = (
        asked.amount if asked else memory if options.get("mem") == "0" else _memory(partition.name, cpus, memory)
    )
    given = seconds_of(str(options.get("time", "")))
    limits = [seconds for seconds in (given, partition.default_time_s, partition.time_s) if seconds is not None]
    time_s = limits[0] if limits else None
    number = int(options["nodes"])
    return Allocation(partition.name, number, cpus, gpus, memory_mb, time_s, storing_s(options), given is not None)


def _memory(partition: str, cpus: int, whole_mb: int) -> int | None:
    """MB of a node that a job gets which asks for none: the partition's default, or the site's, or all."""
    text = ask(["scontrol", "--oneliner", "show", "partition", partition]) + ask(["scontrol", "show", "config"])
    if default := re.search(r"DefMemPer(CPU|Node)\s*=\s*(\d+)", text):
        return min(whole_mb, int(default[2]) * (cpus if default[1] == "CPU" else 1))
    return whole_mb


def refuse_impossible(options: Mapping[str, str | int | bool]) -> None:
    """Raise SettingsError for what the partition can never give."""
    try:
        partitions = read_partitions()
    except ClusterError:  # sbatch is asked next, and says itself why it does not work
        return
    if partitions:
        fitting(options, partitions)


def expected_start(script: str) -> str:
    """When and where Slurm would start a script if it were submitted now. Raises ClusterError with its refusal."""
    said = ask(["sbatch", "--test-only"], script, errors_too=True)
    start = _START.search(said)
    return f"{start[1].replace('T', ' ')} on {start[2]}" if start else _last(said.splitlines())


def _last(lines: Iterable[str]) -> str:
    return next((line.strip() for line in reversed(list(lines)) if line.strip()), "not known")
