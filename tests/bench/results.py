"""Looking at the results of many trials: whole commands, beside the time that reading the same bytes takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.rows import publish, row
from tests.bench.storage import fill

SIZES = (500, 5000)
AIM_S, AIM_MB = 5.0, 300
SQL = 'select "objective.kind", avg(g_loss) as g_loss from trials group by all'


class Cost(NamedTuple):
    """What a command took: seconds by the clock and of processors, and memory at most."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Write the results of each number of trials, then look at them."""
    rows = []
    for trials in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            job, _ = fill(folder, trials)
            name = job.header.name
            began = time.perf_counter()
            size = sum(len(path.read_bytes()) for path in Path(folder, name).rglob("*.parquet"))
            plain = time.perf_counter() - began
            rows.append(row(f"{trials:,} trials: reading all {size / 1e6:.0f} MB of their files", f"{plain:.2f} s"))
            commands = {
                "status": ("status", name),
                "results": ("results", name),
                "results --sql": ("results", name, "--sql", SQL),
                "plan": ("plan", name),
            }
            for what, command in commands.items():
                cost = _cost(*command, "--storage", folder)
                text = f"{cost.wall_s:.1f} s ({cost.cpu_s:.1f} s of processors), {cost.peak_mb:.0f} MB"
                aimed = what in ("status", "results")
                met = cost.wall_s <= AIM_S and cost.peak_mb <= AIM_MB
                aim = f"<= {AIM_S:.0f} s, {AIM_MB} MB"
                rows.append(row(f"{trials:,} trials: orch {what}", text, aim if aimed else "", met if aimed else None))
    publish(*rows)


def _cost(*arguments: str) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "orchestrator.cli", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


if __name__ == "__main__":
    main()
