"""The allocation that a job asks of Slurm, as lines and JSON of a plan: what it holds, and if its time suffices."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.durations import duration
from orchestrator.text import plural

if TYPE_CHECKING:
    from orchestrator.plan.plan import Plan
    from orchestrator.runtime.slurm_partitions import Allocation
    from orchestrator.spec.job import Job


@dataclass(frozen=True)
class Expected:
    """An allocation, and when Slurm would start it."""

    allocation: Allocation
    start: str

    def lines(self, plan: Plan) -> list[str]:
        """What it holds, whether the plan's work fits its time, and its start."""
        held = self.allocation
        parts = [plural(held.cpus, "CPU"), *([plural(held.gpus, "GPU")] if held.gpus else [])]
        parts += [f"{held.memory_mb / 1024:.0f} GiB"] if held.memory_mb is not None else []
        nodes = f"{plural(held.nodes, 'node')} of partition {held.partition}"
        return [f"slurm    {nodes}, {', '.join(parts)} each", f"time     {self._time(plan)}", f"start    {self.start}"]

    def _time(self, plan: Plan) -> str:
        needs = f"needs {duration(plan.wall_s)}" if plan.runs else "nothing to train"
        limit = self.allocation.time_s
        if limit is None:
            return f"{needs}, no limit"
        asked = f"{duration(limit)} {'asked' if self.allocation.given else 'by the partition'}"
        if math.isnan(plan.wall_s):
            return f"{needs}, {asked}"
        times = self.allocation.requeues(plan.wall_s, plan.start_s)
        if math.isinf(times):
            return (
                f"{needs}, {asked}: too little to begin, of which {duration(self.allocation.storing_s)} are for storing"
            )
        often = {1: "once", 2: "twice"}.get(int(times), f"{times} times")
        return f"{needs}, {asked}" + (f": it will requeue {often}" if times else "")

    def as_json(self, plan: Plan) -> dict[str, Any]:
        """The same for a script; what is not known, or never comes to an end, is null."""
        times = math.nan if math.isnan(plan.wall_s) else self.allocation.requeues(plan.wall_s, plan.start_s)
        return {
            **asdict(self.allocation),
            "requeues": int(times) if math.isfinite(times) else None,
            "start": self.start,
        }


def expect(job: Job, storage: str, command: list[str]) -> Expected:
    """The allocation of a job, by Slurm. Raises SettingsError for what it can never give, ClusterError."""
    from orchestrator.cli.handover import script_for
    from orchestrator.runtime.slurm import options_for
    from orchestrator.runtime.slurm_partitions import allocation_of, expected_start

    script = script_for(job, storage, command)
    return Expected(allocation_of(options_for(job)), expected_start(script))
