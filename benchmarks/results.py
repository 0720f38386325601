"""Looking at the results of many trials: whole commands, beside the time that reading the same bytes takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import publish, row
from benchmarks.storage import fill
from orchestrator.state.bundling import bundle_results

SIZES = (500, 5000)
SQL = 'select "objective.kind", avg(g_loss) as g_loss from trials group by all'
COMMANDS = {"status": (), "results": (), "results --sql": (SQL,), "plan": (), "report": ()}
AIMS = {"status": (5, 300), "results": (5, 300), "report": (60, None)}
"""Seconds and MB."""
PAGE_MB = 10


class Cost(NamedTuple):
    """What a command took: seconds by the clock and of processors, and memory at most."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Write the results of each number of trials, then look at them: single files, and bundled as a run leaves them."""
    rows = []
    for trials in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            job, store = fill(folder, trials)
            name = job.header.name
            began = time.perf_counter()
            size = sum(len(path.read_bytes()) for path in Path(folder, name).rglob("*.parquet"))
            plain = time.perf_counter() - began
            rows.append(row(f"{trials:,} trials: reading all {size / 1e6:.0f} MB of their files", f"{plain:.2f} s"))
            rows += [_row(f"{trials:,} trials", what, name, folder) for what in COMMANDS if what != "report"]
            bundle_results(store)
            rows += [_row(f"{trials:,} trials, bundled", what, name, folder) for what in COMMANDS]
            page = len(store.read("report/index.html")) / 1e6
            rows.append(row(f"{trials:,} trials: page", f"{page:.1f} MB", f"<= {PAGE_MB} MB", page <= PAGE_MB))
    publish(*rows)


def _row(label: str, what: str, name: str, folder: str) -> dict[str, object]:
    command, *options = what.split()
    cost = _cost(command, name, *options, *COMMANDS[what], "--storage", folder)
    text = f"{cost.wall_s:.1f} s ({cost.cpu_s:.1f} s of processors), {cost.peak_mb:.0f} MB"
    most_s, most_mb = AIMS.get(what, (None, None))
    if most_s is None:
        return row(f"{label}: orch {what}", text)
    met = cost.wall_s <= most_s and (most_mb is None or cost.peak_mb <= most_mb)
    aim = f"<= {most_s} s" if most_mb is None else f"<= {most_s} s, {most_mb} MB"
    return row(f"{label}: orch {what}", text, aim, met)


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
