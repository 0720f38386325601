"""Many trials: memory of the driver for 1,000 of them, and whether each costs more than among 100."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time

from benchmarks.rows import publish, row
from benchmarks.trials import Silent, idle_plan
from orchestrator.plan.placement import this_machine
from orchestrator.runtime.local import local_ray
from orchestrator.runtime.sweep import run_sweep

FEW, MANY = 100, 1000


def main() -> None:
    """Run each size in a driver of its own."""
    if len(sys.argv) > 1:
        _one(int(sys.argv[1]))
        return
    few, many = (_measure(trials) for trials in (FEW, MANY))
    gigabytes = many["peak_bytes"] / 1e9
    ratio = many["s_per_trial"] / few["s_per_trial"]
    text = f"{many['s_per_trial']:.3f} s / {few['s_per_trial']:.3f} s = {ratio:.2f}x"
    publish(
        row(f"peak memory of the driver, {MANY:,} idle trials", f"{gigabytes:.2f} GB", "< 1.5 GB", gigabytes < 1.5),
        row(f"time of one trial among {MANY:,} / among {FEW}, starts included", text, "<= 1x", ratio <= 1),
    )


def _measure(trials: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale", str(trials)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _one(trials: int) -> None:
    with tempfile.TemporaryDirectory() as folder, local_ray(this_machine()):
        plan, store = idle_plan(trials, folder)
        began = time.perf_counter()
        outcome = run_sweep(plan, store, [Silent()])
        took = time.perf_counter() - began
        assert outcome.ended == trials, outcome
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write("\n" + json.dumps({"s_per_trial": took / trials, "peak_bytes": peak}) + "\n")


if __name__ == "__main__":
    main()
