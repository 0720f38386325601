"""The usual way to train Tune's trials on several workers, on a Ray of its own: prints what it is waiting for.

``python -m tests.ray.nested``: two trials at once, each with a processor for its driver, on two processors.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time

import ray
from ray import train, tune
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import placement_group_table


def fit(config: dict[str, int]) -> None:
    """A trial, as Ray's documentation nests it, but without torch: what is waited for are processors."""
    with tempfile.TemporaryDirectory() as folder:
        DataParallelTrainer(
            print,
            scaling_config=train.ScalingConfig(num_workers=1),
            run_config=train.RunConfig(storage_path=folder, name=f"seed-{config['seed']}"),
        ).fit()


def sweep(folder: str) -> None:
    """Two such trials, with Tune's own request of a processor each."""
    space = {"seed": tune.grid_search([0, 1])}
    tune.Tuner(fit, param_space=space, run_config=tune.RunConfig(storage_path=folder, verbose=0)).fit()


def waiting() -> list[dict[str, float]]:
    """What each placement group asks for that does not get it."""
    return [dict(group["bundles"][0]) for group in placement_group_table().values() if group["state"] == "PENDING"]


def main() -> None:
    """Watch until both trials wait, and for a while after, then say what is free and what is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        threading.Thread(target=sweep, args=(folder,), daemon=True).start()
        deadline = time.monotonic() + 120
        while len(waiting()) < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(3)
        print(json.dumps({"asked_for": waiting(), "free_cpus": ray.available_resources().get("CPU", 0)}), flush=True)
        ray.shutdown()


if __name__ == "__main__":
    main()
