"""``make chaos``: a sweep whose processes, nodes, drivers and storage are taken away at random, and what it lost.

``python -m tests.ray.chaos --minutes 5 --seed 0``. The sweep goes on until all its trials have ended; exit code 1 where
a trial or a logged step is missing or there twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

from orchestrator.spec.job import make_job
from orchestrator.store.open import open_store
from orchestrator.store.tables import read_table
from tests.ray.checks import logged_steps
from tests.ray.conftest import raw_job
from tests.ray.nodes import Nodes, kill_process
from tests.s3 import ENVIRONMENT, OUTAGE, bucket_behind_proxy

if TYPE_CHECKING:
    from tests.s3 import Proxy

NODES = 3
PAUSE_S = (8.0, 24.0)
"""The shortest and the longest time between two faults."""
OUTAGE_S = 10.0
FAULTS = ("process killed", "node killed", "node preempted", "driver killed", "storage down")


class Chaos:
    """A sweep on a cluster of its own, with the S3 it writes to behind a proxy that can fail."""

    def __init__(self, folder: Path, nodes: Nodes, proxy: Proxy, trials: int, seed: int) -> None:
        self.folder, self.nodes, self.proxy = folder, nodes, proxy
        self.random = random.Random(seed)
        self.outage_ends = 0.0
        self.survived: Counter[str] = Counter()
        half = list(range(trials // 2))
        grid = {
            "size": [{"resources.workers": 1}, {"resources.workers": 2, "training.batch_size": 16}],
            "training.seed": half,
        }
        training = {"epochs": 60, "batch_size": 8, "log_every": 10, "samples_every": 0}
        self.raw = raw_job(grid=grid, training=training, resources={"max_retries": 100}, storage="s3://chaos/studies")
        (folder / "job.yaml").write_text(yaml.safe_dump(self.raw))
        proxy.answer = self._answer
        self.submit()

    def _answer(self, *_: Any) -> tuple[int, str] | None:
        return OUTAGE[len(self.proxy.seen) % 3] if time.monotonic() < self.outage_ends else None

    def submit(self) -> None:
        """Start a driver; what is done stays done."""
        command = [sys.executable, "-m", "orchestrator.cli", "submit", "job.yaml", "--address", "auto"]
        environment = os.environ | {"RAY_ADDRESS": self.nodes.cluster.address}
        with (self.folder / "driver.log").open("a") as log:
            self.driver = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def strike(self) -> str | None:
        """Let one fault happen; None where there was nothing to hit."""
        fault = self.random.choice(FAULTS)
        if fault == "driver killed":
            os.kill(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
            self.submit()
        elif fault == "storage down":
            self.outage_ends = time.monotonic() + OUTAGE_S
        else:
            at_work = self.nodes.training()
            if not at_work:
                return None
            node, process = self.random.choice(at_work)
            if fault == "process killed":
                kill_process(process)
            elif fault == "node killed":
                self.nodes.kill(node)
            else:
                self.nodes.drain(node, deadline_s=15)
            self.nodes.refill(NODES)
        self.survived[fault] += 1
        return fault

    def run(self, seconds: float, console: Console) -> None:
        """Strike at random for so long, or until all is done; then let the sweep come to its end."""
        began = time.monotonic()
        while time.monotonic() - began < seconds and self.driver.poll() != 0:
            time.sleep(self.random.uniform(*PAUSE_S))
            if self.driver.poll():
                self.submit()
            if fault := self.strike():
                console.print(f"{time.monotonic() - began:6.1f} s  {fault}")
        while self.driver.wait() != 0:  # one that found storage down on its way up says so and ends
            time.sleep(1)
            self.submit()

    def table(self) -> tuple[Table, bool]:
        """What came of it, and whether nothing is missing and nothing is there twice."""
        trials = make_job(self.raw, "job.yaml").trials
        store = open_store(self.raw["storage"]).child(self.raw["name"])
        rows = read_table(store, "trials").table.to_pylist()
        metrics = read_table(store, "metrics", ["trial_id", "step"]).table.to_pylist()
        expected = Counter((trial.id, step) for trial in trials for step in logged_steps(trial))
        found = Counter((row["trial_id"], row["step"]) for row in metrics)
        finished = Counter(row["trial_id"] for row in rows if row["status"] == "finished")
        lost = (expected - found).total() + sum(trial.id not in finished for trial in trials)
        doubled = (found - expected).total() + sum(count > 1 for count in finished.values())
        table = Table(title="make chaos", title_justify="left")
        table.add_column("what")
        table.add_column("number", justify="right")
        for fault in FAULTS:
            table.add_row(fault, str(self.survived[fault]))
        table.add_row("faults survived", str(self.survived.total()))
        table.add_row("trials finished", f"{len(finished)} of {len(trials)}")
        table.add_row("times a trial went on from a checkpoint", str(sum(row["resumes"] for row in rows)))
        table.add_row("rows", str(len(metrics) + len(rows)))
        table.add_row("rows lost", str(lost))
        table.add_row("rows doubled", str(doubled))
        return table, not lost and not doubled


def main() -> int:
    """Bring up storage and cluster, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args()
    console = Console()
    os.environ |= ENVIRONMENT
    with tempfile.TemporaryDirectory(prefix="orch-chaos-") as folder, bucket_behind_proxy("chaos") as proxy:
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        nodes = Nodes(NODES)
        chaos = Chaos(Path(folder), nodes, proxy, options.trials, options.seed)
        try:
            chaos.run(options.minutes * 60, console)
            table, whole = chaos.table()
            console.print(table)
            if not whole:
                console.print((Path(folder) / "driver.log").read_text()[-3000:], markup=False)
        finally:
            chaos.driver.kill()
            nodes.close()
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
