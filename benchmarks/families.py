"""A step of every family against one of a GAN with the same generator; and the memory of GLO's steps by its images."""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.distributed.group import ALONE
from orchestrator.training.learners import learner_of
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from orchestrator.training.learner import Learner

BATCH, WIDTH, LATENT_DIM = 64, 32, 100
ROUNDS, REPEAT = 5, 2
FEW, MANY = 2_000, 200_000
STEPS = 40
CLOSE_MIB = 16.0
"""What an allocator keeps for itself varies by this much."""

GAN: dict[str, Any] = {"model": {"kind": "dcgan", "width": WIDTH}, "objective": {"kind": "non_saturating"}}
CODED = {"kind": "encoder_decoder", "width": WIDTH, "depth": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    **{
        kind: {"model": CODED, "objective": {"kind": kind}}
        for kind in ("autoencoder", "wae_moments", "wae_mmd", "wae_adversarial", "glo")
    },
    "Glow, 2 levels of 8 steps": {"model": {"kind": "glow", "width": 64}, "objective": {"kind": "likelihood"}},
}


def make(sections: dict[str, Any], images: int) -> Learner:
    """What trains so, on images of noise."""
    settings = TrialSettings.model_validate(
        {"data": {"name": "digits"}, **sections, "training": {"batch_size": BATCH, "epochs": 1000}}
    )
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, *settings.data.shape), generator=source, dtype=torch.uint8)
    return learner_of(settings, pixels.contiguous(memory_format=torch.channels_last), ALONE)


def added_mib(images: int) -> float:
    """What GLO's steps add to this process's peak memory, the latent vectors of so many images being there."""
    learner = make(FAMILIES["glo"], images)
    learner.step()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(STEPS):
        learner.step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _in_a_process(images: int) -> float:
    command = [sys.executable, "-m", "benchmarks.families", str(images)]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def main() -> None:
    """Time all in turn, then measure GLO's memory in processes of their own."""
    torch.set_flush_denormal(True)
    learners = {name: make(sections, 4 * BATCH) for name, sections in {"": GAN, **FAMILIES}.items()}
    times = seconds_in_turn({name: one.step for name, one in learners.items()}, rounds=ROUNDS, repeat=REPEAT)
    rows = [
        row(
            f"step, {name} / GAN (DCGAN, width {WIDTH})",
            f"{1e3 * statistics.median(times[name]):.0f} ms, {ratio(times[name], times['']):.2f}x",
        )
        for name in FAMILIES
    ]
    few, many = (_in_a_process(images) for images in (FEW, MANY))
    rows.append(
        row(
            f"memory that {STEPS} steps of GLO add, {MANY:,} images / {FEW:,}",
            f"{many:.0f} MiB / {few:.0f} MiB",
            f"<= {CLOSE_MIB:g} MiB more",
            many - few <= CLOSE_MIB,
        )
    )
    publish(*rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(added_mib(int(sys.argv[1]))))
    else:
        main()
