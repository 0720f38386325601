"""Evaluations as tasks: two at once against one, and what a process needs for ten times the images."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.inversion import SHAPE, generator_of
from benchmarks.rows import publish, row
from benchmarks.trials import Silent
from orchestrator.data.images import ImageSet
from orchestrator.evaluations import compute_shard
from orchestrator.evaluations.evaluation import TrainedModel
from orchestrator.evaluations.inversion.settings import Inversion
from orchestrator.plan.placement import Cluster, Machine
from orchestrator.plan.plan import make_plan
from orchestrator.runtime.local import local_ray
from orchestrator.runtime.sweep import run_sweep
from orchestrator.spec.job import make_job
from orchestrator.state.ledger import read_ledger
from orchestrator.store.open import open_store
from orchestrator.training.settings import TrialSettings

FEW, MANY = 1000, 10_000
ROUNDS = 2
STUDY: dict[str, Any] = {
    "name": "evaluated",
    "data": {"name": "digits"},
    "model": {"kind": "dcgan", "latent_dim": 100, "width": 32},
    "objective": {"kind": "non_saturating"},
    "training": {"epochs": 1, "batch_size": 64},
}
WARM = {"kind": "inversion", "images": 128, "steps": 1}
TIMED = {"kind": "inversion", "images": 256, "restarts": 5, "steps": 20}


def main() -> None:
    """Measure each in processes of their own, those that are compared in turn."""
    if len(sys.argv) > 1:
        what, number = sys.argv[1], int(sys.argv[2])
        sys.stdout.write("\n" + json.dumps(_evaluate(number) if what == "tasks" else _peak_mib(number)) + "\n")
        return
    times = [(_measure("tasks", 1), _measure("tasks", 2)) for _ in range(ROUNDS)]
    one, two = (min(column) for column in zip(*times, strict=True))
    cores = os.cpu_count() or 1
    few, many = (_measure("memory", images) for images in (FEW, MANY))
    publish(
        row(
            f"inversion of {TIMED['images']} images, 1 task at a time / 2, on {cores} cores",
            f"{one:.1f} s / {two:.1f} s = {one / two:.2f}x",
            ">= 1.6x",
            one / two >= 1.6,
        ),
        row(
            f"memory that inverting {MANY:,} images adds / {FEW:,}",
            f"{many:.0f} MiB / {few:.0f} MiB = {many / few:.2f}x",
            "<= 2x",
            many / few <= 2,
        ),
    )


def _measure(what: str, number: int) -> float:
    command = [sys.executable, "-m", "benchmarks.evaluation", what, str(number)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(run.stdout.splitlines()[-1]))


def _evaluate(at_once: int) -> float:
    """Seconds of the timed evaluation, after one that starts its processes."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster((Machine(at_once, 0),))
        with local_ray(cluster):
            _run(folder, cluster, WARM)
            return _run(folder, cluster, WARM, TIMED)


def _run(folder: str, cluster: Cluster, *evaluations: dict[str, Any]) -> float:
    """Seconds that it takes to run what is missing of these."""
    job = make_job({**STUDY, "storage": folder, "evaluate": list(evaluations)}, "benchmark")
    store = open_store(folder).child(job.header.name)
    plan = make_plan(job, read_ledger(store), (), cluster, store.uri, evaluated=store.keys("evaluations"))
    began = time.perf_counter()
    outcome = run_sweep(plan, store, [Silent()])
    took = time.perf_counter() - began
    assert not outcome.failed
    assert not outcome.evaluations.failed
    return took


def _peak_mib(images: int) -> float:
    """What a process that computes all parts one after another adds to its peak memory."""
    import torch

    torch.set_num_threads(1)
    evaluation = Inversion(images=images, restarts=1, steps=1)
    trial = TrialSettings.model_validate({key: STUDY[key] for key in ("data", "model", "objective", "training")})
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, *SHAPE), dtype=np.uint8)
    labels = random.integers(0, 10, images)
    splits = {"test": ImageSet(pixels, labels)}
    device = torch.device("cpu")
    subject = TrainedModel("0" * 16, trial, generator_of(device), device, splits, None, lambda: None)  # type: ignore[arg-type, return-value]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for shard in range(evaluation.shards(trial)):
        found = compute_shard(evaluation, subject, shard)
        assert found.rows
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    main()
