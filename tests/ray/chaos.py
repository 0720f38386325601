"""``make chaos``: sweeps whose processes, nodes, drivers and storage are taken away at random, and what they lost.

``python -m tests.ray.chaos --minutes 5 --seed 0``. One sweep runs on a cluster of several nodes and writes to S3, then
one runs on this machine alone, with a Ray of its own, and writes to a small disk: there Ray's own head dies too. Each
goes on until all its trials have ended; exit code 1 where a trial or a logged step is missing or there twice.
"""

from __future__ import annotations

import argparse
import contextlib
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
from tests.ray.nodes import WORKERS, Nodes
from tests.ray.processes import below, kill_process, named
from tests.s3 import ENVIRONMENT, OUTAGE, bucket_behind_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.s3 import Proxy

NODES = 3
PAUSE_S = (6.0, 18.0)
"""The shortest and the longest time between two faults."""
AWAY_S = 8.0
"""How long storage is down, full or moved away, and how long processes stand still."""
HOUR_S = 3600
FULL = (507, "XMinioStorageFull")
DRAFTS = ".orch-tmp-*"
CLOCK = """
import os, time
_real, _path, _seen = time.time, os.environ["CHAOS_CLOCK"], [0.0, 0.0]
def _shifted():
    now = _real()
    if not 0 <= now - _seen[0] < 1:
        try:
            _seen[:] = now, float(open(_path).read())
        except (OSError, ValueError):
            pass
    return now + _seen[1]
time.time = _shifted
"""
"""A module that Python runs at its start: the clock of a process is off by the seconds that a file says."""


class Sweep:
    """A sweep, the command that drives it, and the faults that may hit it."""

    def __init__(self, folder: Path, raw: dict[str, Any], options: list[str], seed: int) -> None:
        self.folder, self.raw, self.options = folder, raw, options
        self.random = random.Random(seed)
        self.survived: Counter[str] = Counter()
        self.faults: dict[str, Callable[[], bool]] = {
            "process killed": self.kill_worker,
            "driver killed": self.kill_driver,
            "processes suspended": self.suspend,
            "clock moved": self.move_clock,
        }
        (folder / "job.yaml").write_text(yaml.safe_dump(raw))
        self.clock = folder / "clock"
        self.result: Counter[str] = Counter()
        self.submit()

    def submit(self) -> None:
        """Start a driver; what is done stays done."""
        command = [sys.executable, "-m", "orchestrator.cli", "submit", "job.yaml", *self.options]
        with (self.folder / "driver.log").open("a") as log:
            self.driver = subprocess.Popen(command, cwd=self.folder, env=self.environment(), stdout=log, stderr=log)

    def environment(self) -> dict[str, str]:
        """That of the driver."""
        return dict(os.environ)

    def training(self) -> list[int]:
        """Process ids of the workers that train."""
        raise NotImplementedError

    def kill_worker(self) -> bool:
        """Kill -9, as the kernel does where memory runs out."""
        at_work = self.training()
        if at_work:
            kill_process(self.random.choice(at_work))
        return bool(at_work)

    def kill_driver(self) -> bool:
        """Kill -9."""
        self.driver.kill()
        self.driver.wait()
        self.submit()
        return True

    def suspend(self) -> bool:
        """Have the driver and the workers stand still for a while, as on a laptop that is closed."""
        pids = [self.driver.pid, *self.training()]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(AWAY_S)
        return True

    def move_clock(self) -> bool:
        """Set the clock of every process that runs forward or back by an hour, from where it is."""
        self.clock.write_text(str(self.random.choice([-HOUR_S, 0, HOUR_S])))
        return True

    def run(self, seconds: float, console: Console) -> None:
        """Strike at random for so long, or until all is done; then let the sweep come to its end."""
        began, order = time.monotonic(), list(self.faults)
        while time.monotonic() - began < seconds and self.driver.poll() != 0:
            time.sleep(self.random.uniform(*PAUSE_S))
            if self.driver.poll():
                self.submit()
            if self.driver.poll() == 0:
                break
            # Each once before any comes again, in an order that the seed decides.
            fault = self.random.choice([name for name in order if self.survived[name] == self._least()])
            if self.faults[fault]():
                self.survived[fault] += 1
                console.print(f"{time.monotonic() - began:6.1f} s  {fault}")
        while self.driver.wait() != 0:  # one that found storage down on its way up says so and ends
            time.sleep(1)
            self.submit()

    def _least(self) -> int:
        return min(self.survived[name] for name in self.faults)

    def outcome(self) -> Counter[str]:
        """Numbers of what came of it."""
        trials = make_job(self.raw, "job.yaml").trials
        store = open_store(self.raw["storage"]).child(self.raw["name"])
        rows = read_table(store, "trials").table.to_pylist()
        metrics = read_table(store, "metrics", ["trial_id", "step"]).table.to_pylist()
        expected = Counter((trial.id, step) for trial in trials for step in logged_steps(trial))
        found = Counter((row["trial_id"], row["step"]) for row in metrics)
        finished = Counter(row["trial_id"] for row in rows if row["status"] == "finished")
        return Counter(
            {
                "trials": len(trials),
                "trials finished": len(finished),
                "times a trial went on from a checkpoint": sum(row["resumes"] for row in rows),
                "rows": len(metrics) + len(rows),
                "rows lost": (expected - found).total() + sum(trial.id not in finished for trial in trials),
                "rows doubled": (found - expected).total() + sum(count > 1 for count in finished.values()),
                "drafts left": self.drafts(),
            }
        )

    def drafts(self) -> int:
        """Half-written files that are left."""
        return 0


class OnCluster(Sweep):
    """On a cluster of several nodes, with the S3 it writes to behind a proxy that can fail."""

    def __init__(self, folder: Path, nodes: Nodes, proxy: Proxy, trials: int, seed: int) -> None:
        self.nodes, self.proxy = nodes, proxy
        self.fails: Callable[[], tuple[int, str]] | None = None
        self.fails_until = 0.0
        proxy.answer = self._answer
        grid = {
            "size": [{"resources.workers": 1}, {"resources.workers": 2, "training.batch_size": 16}],
            "training.seed": list(range(trials // 2)),
        }
        super().__init__(folder, job(grid, "s3://chaos/studies", epochs=60), ["--address", "auto"], seed)
        self.faults |= {
            "node killed": self.kill_node,
            "node preempted": self.drain_node,
            "storage down": lambda: self._fail(lambda: OUTAGE[len(self.proxy.seen) % 3]),
            "storage full": lambda: self._fail(lambda: FULL),
            "credentials expired": lambda: self._fail(lambda: (400, "ExpiredToken")),
        }

    def _answer(self, method: str, *_: Any) -> tuple[int, str] | None:
        if self.fails is None or time.monotonic() > self.fails_until:
            return None
        answer = self.fails()
        return answer if answer != FULL or method in ("PUT", "POST") else None

    def _fail(self, how: Callable[[], tuple[int, str]]) -> bool:
        self.fails, self.fails_until = how, time.monotonic() + AWAY_S
        return True

    def environment(self) -> dict[str, str]:
        """See Sweep."""
        return os.environ | {"RAY_ADDRESS": self.nodes.cluster.address}

    def training(self) -> list[int]:
        """See Sweep."""
        return [pid for _, pid in self.nodes.training()]

    def _node(self, strike: Callable[[Any], None]) -> bool:
        at_work = self.nodes.training()
        if at_work:
            strike(self.random.choice(at_work)[0])
            self.nodes.refill(NODES)
        return bool(at_work)

    def kill_node(self) -> bool:
        """Take a node that trains away without a word."""
        return self._node(self.nodes.kill)

    def drain_node(self) -> bool:
        """Announce that a node that trains will be preempted."""
        return self._node(lambda node: self.nodes.drain(node, deadline_s=15))


class OnThisMachine(Sweep):
    """With a Ray of its own, whose own processes die too, and on a disk that fills up and is moved away."""

    def __init__(self, folder: Path, disk: Path, *, small: bool, trials: int, seed: int) -> None:
        self.disk = disk
        grid = {"training.seed": list(range(trials))}
        super().__init__(folder, job(grid, str(disk / "results"), epochs=150), [], seed)
        self.faults |= {
            "Ray's head killed": lambda: self._kill_ray("gcs_server"),
            "Ray's raylet killed": lambda: self._kill_ray("raylet/raylet"),
            "storage moved away": self.move,
        }
        if small:
            self.faults["disk full"] = self.fill

    def _below(self, names: tuple[str, ...], parts: int | None = None) -> list[int]:
        if self.driver.poll() is not None:
            return []
        return [process.pid for process in named(below(self.driver.pid), *names, parts=parts)]

    def training(self) -> list[int]:
        """See Sweep."""
        return self._below(WORKERS)

    def _kill_ray(self, name: str) -> bool:
        victims = self._below((name,), 1) if self.training() else []
        for pid in victims:
            kill_process(pid)
        if victims:
            self.driver.wait()  # it says why, and ends
            self.submit()
        return bool(victims)

    def move(self) -> bool:
        """Move the results away and back; what was written in the moment of moving takes its place among them."""
        results, away = self.disk / "results", self.disk / "away"
        if not self.training():
            return False
        results.rename(away)
        time.sleep(AWAY_S)
        for path in [path for path in results.rglob("*") if path.is_file()]:
            kept = away / path.relative_to(results)
            kept.parent.mkdir(parents=True, exist_ok=True)
            path.replace(kept)
        if results.exists():
            subprocess.run(["rm", "-r", str(results)], check=True)
        away.rename(results)
        return True

    def fill(self) -> bool:
        """Leave no room on the disk for a while."""
        full = self.disk / "full"
        with full.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        time.sleep(AWAY_S)
        full.unlink()
        return True

    def drafts(self) -> int:
        """See Sweep."""
        return len(list(self.disk.rglob(DRAFTS)))


def job(grid: dict[str, Any], storage: str, epochs: int) -> dict[str, Any]:
    """A job of tiny trials that are tried again as often as it takes."""
    training = {"epochs": epochs, "batch_size": 8, "log_every": 10, "samples_every": 0}
    return raw_job(grid=grid, training=training, resources={"max_retries": 100}, storage=storage)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of 16 MiB at the folder, where this user may mount one; whether it is one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "orch-chaos", str(folder)]
    small = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield small
    finally:
        if small:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def on_cluster(folder: Path, seconds: float, options: argparse.Namespace, console: Console) -> Sweep:
    """Run the first sweep to its end."""
    with bucket_behind_proxy("chaos") as proxy:
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        nodes = Nodes(NODES)
        sweep = OnCluster(folder, nodes, proxy, options.trials, options.seed)
        try:
            sweep.run(seconds, console)
            sweep.result = sweep.outcome()
        finally:
            sweep.driver.kill()
            nodes.close()
    return sweep


def on_this_machine(folder: Path, seconds: float, options: argparse.Namespace, console: Console) -> Sweep:
    """Run the second sweep to its end."""
    with small_disk(folder / "disk") as small:
        if not small:
            console.print("no small disk can be mounted here: no disk is filled")
        sweep = OnThisMachine(folder, folder / "disk", small=small, trials=options.trials, seed=options.seed)
        try:
            sweep.run(seconds, console)
            sweep.result = sweep.outcome()
        finally:
            sweep.driver.kill()
    return sweep


def main() -> int:
    """Bring up storage and cluster, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=16)
    options = parser.parse_args()
    console = Console()
    os.environ |= ENVIRONMENT
    table = Table(title="make chaos", title_justify="left")
    for heading in ("what", "on a cluster", "on this machine"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    sweeps = []
    for start in (on_cluster, on_this_machine):
        with tempfile.TemporaryDirectory(prefix="orch-chaos-", dir="/tmp") as name:  # whose path has room for sockets
            folder = Path(name)
            (folder / "sitecustomize.py").write_text(CLOCK)
            os.environ |= {"CHAOS_CLOCK": str(folder / "clock"), "PYTHONPATH": f"{name}{os.pathsep}{Path.cwd()}"}
            sweeps.append(start(folder, options.minutes * 30, options, console))
            if not whole(sweeps[-1]):
                console.print((folder / "driver.log").read_text()[-3000:], markup=False)
    for fault in dict.fromkeys(name for sweep in sweeps for name in sweep.faults):
        table.add_row(fault, *(str(sweep.survived[fault]) if fault in sweep.faults else "" for sweep in sweeps))
    table.add_row("faults survived", *(str(sweep.survived.total()) for sweep in sweeps))
    for what in sweeps[0].result:
        table.add_row(what, *(str(sweep.result[what]) for sweep in sweeps))
    console.print(table)
    return 0 if all(map(whole, sweeps)) else 1


def whole(sweep: Sweep) -> bool:
    """Whether nothing is missing, nothing is there twice, and nothing half-written is left."""
    return not any(sweep.result[what] for what in ("rows lost", "rows doubled", "drafts left"))


if __name__ == "__main__":
    sys.exit(main())
