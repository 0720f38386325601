"""``make bench``: runs every benchmark in a process of its own and prints one table.

``python -m benchmarks step query`` runs only those named.
"""

from __future__ import annotations

import json
import subprocess
import sys

from rich.console import Console
from rich.table import Table

BENCHMARKS = (
    "step",
    "precision",
    "objectives",
    "families",
    "flow",
    "fish",
    "processes",
    "overhead",
    "worker_group",
    "scale",
    "query",
    "results",
    "quality",
    "inversion",
    "latent_optimizers",
    "evaluation",
    "coverage",
)


def main() -> int:
    """Run the benchmarks that the command line names, or all."""
    console = Console()
    chosen = sys.argv[1:] or list(BENCHMARKS)
    if unknown := set(chosen) - set(BENCHMARKS):
        console.print(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
        return 2
    table = Table(title="make bench", title_justify="left")
    for heading in ("what", "measured", "aim", "met"):
        table.add_column(heading, overflow="fold")
    failed = False
    for name in chosen:
        with console.status(f"measuring {name}"):
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            failed = True
            console.print(f"benchmark {name} failed:", run.stderr[-2000:], markup=False)
            continue
        for row in json.loads(run.stdout.splitlines()[-1]):
            met = "" if row["met"] is None else "yes" if row["met"] else "no"
            table.add_row(row["what"], row["measured"], row["aim"], met)
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
