"""Idle trials of two workers: a warm worker group against the nesting that Ray documents, and S3's requests.

The nested pattern is a Tune function that fits a TorchTrainer: each trial starts a controller and a worker group. Ours
also builds and trains the smallest networks for one step and writes its rows, pictures and checkpoint. One more of ours
costs what lies between the ends of two trials, one more of the nested pattern the difference between two sweeps of
different lengths, so that starts do not enter either.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.rows import publish, row
from benchmarks.trials import Silent, idle_plan
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.runtime.local import local_ray
from orchestrator.runtime.sweep import run_sweep
from tests.s3 import ENVIRONMENT, bucket_behind_proxy

if TYPE_CHECKING:
    from orchestrator.runtime.events import Event

WORKERS, FEW, MANY, NESTED = 2, 2, 18, 2
HERE = Cluster((Machine(cpus=WORKERS, gpus=0),))


def main() -> None:
    """Run both on the same Ray, then the same sweeps once more with S3 for storage."""
    with tempfile.TemporaryDirectory() as folder, local_ray(HERE):
        began, ended = time.perf_counter(), _sweep(MANY, folder)
        one, more = (_nested(trials, folder) for trials in (1, 1 + NESTED))
        nested = (more - one) / NESTED
    # The trials follow each other in one worker group. A median: a busy machine holds up a few of them for seconds.
    ours = statistics.median(later - earlier for earlier, later in pairwise(ended))
    ratio, cold = nested / ours, ended[0] - began - ours
    requests = _requests()
    text = f"{nested:.1f} s / {ours:.2f} s = {ratio:.0f}x"
    publish(
        row("one more idle trial of 2 workers, nested pattern / warm worker group", text, ">= 20x", ratio >= 20),
        row("one more idle trial of 2 workers, warm worker group", f"{ours:.2f} s", "<= 0.7 s", ours <= 0.7),
        row("start of a cold worker group of 2 workers", f"{cold:.1f} s"),
        row("requests to S3 of one more trial of 1 epoch", f"{requests:.1f}"),
    )


class _Ends(Silent):
    """The moments at which trials end."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def update(self, event: Event) -> None:
        """Note the moment where a trial has ended."""
        if event.ended is not None:
            self.moments.append(time.perf_counter())


def _sweep(trials: int, folder: str, workers: int = WORKERS) -> list[float]:
    """When each of the trials has ended."""
    plan, store = idle_plan(trials, folder, workers)
    ends = _Ends()
    outcome = run_sweep(plan, store, [ends])
    assert outcome.ended == trials == len(ends.moments), outcome
    return ends.moments


def _nested(trials: int, folder: str) -> float:
    """The documented pattern, with a driver that asks for next to nothing, lest it hang."""
    from ray import tune

    began = time.perf_counter()
    results = tune.Tuner(
        tune.with_resources(_fit, {"memory": 1}),
        param_space={"seed": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=folder, name=f"nested-{trials}", verbose=0),
    ).fit()
    assert not results.errors, results.errors
    return time.perf_counter() - began


def _fit(config: dict[str, int]) -> None:
    from ray import train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    with tempfile.TemporaryDirectory() as folder:
        TorchTrainer(
            _report,
            scaling_config=train.ScalingConfig(num_workers=WORKERS),
            run_config=train.RunConfig(
                storage_path=folder, name=f"seed-{config['seed']}", callbacks=[TuneReportCallback()]
            ),
        ).fit()


def _report() -> None:
    from ray import train

    train.report({"loss": 0.0})


def _requests() -> float:
    """Requests that one more trial makes, counted between the sweep and a simulated S3."""
    counts = []
    os.environ |= ENVIRONMENT
    with bucket_behind_proxy("bench") as proxy:
        os.environ["AWS_ENDPOINT_URL"] = proxy.url  # before Ray starts: its workers have the environment of that moment
        with local_ray(HERE):
            for trials in (FEW, MANY):
                before = len(proxy.seen)
                _sweep(trials, "s3://bench/studies", workers=1)
                counts.append(len(proxy.seen) - before)
    return (counts[1] - counts[0]) / (MANY - FEW)


if __name__ == "__main__":
    main()
