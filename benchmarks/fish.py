"""140x320 colour pictures: what share of a step their way to the network takes, and the memory of a BEGAN step."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

import numpy as np
import torch

from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.data.batches import to_device
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.training.gan import Gan
from orchestrator.training.settings import TrialSettings

SHAPE, IMAGES = ImageShape(3, 140, 320), 128
SHALLOW = {"kind": "dcgan", "width": 16, "max_width": 32, "depth": 3}
BEGAN = {"kind": "autoencoding", "latent_dim": 256, "code_dim": 256, "width": 32, "pooling": "max"}


def make(objective: str, model: dict[str, object], batch: int) -> Gan:
    """A GAN of the fish study on pictures of noise."""
    settings = TrialSettings.model_validate(
        {
            "data": {"name": "procedural_fish"},
            "model": model,
            "objective": {"kind": objective},
            "training": {"batch_size": batch},
        }
    )
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8)
    return Gan(settings.model, settings.objective, settings.training, to_device(ImageSet(pixels), "cpu"), SHAPE)


def peak_gib() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def began_step() -> None:
    """Print the peak before and after a step of BEGAN, batch 16."""
    gan = make("began", BEGAN, 16)
    before = peak_gib()
    gan.step()
    sys.stdout.write(f"{before} {peak_gib()}\n")


def main() -> None:
    """The shallow pair of B1 computes least for each picture: with it the pictures' way counts most."""
    torch.set_flush_denormal(True)
    gan = make("non_saturating", SHALLOW, 64)
    times = seconds_in_turn({"pictures": gan.batches.next, "step": gan.step}, rounds=4)
    share = 100 * ratio(times["pictures"], times["step"])
    run = subprocess.run(
        [sys.executable, "-c", "from benchmarks.fish import began_step; began_step()"],
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(float, run.stdout.split())
    pictures, step = (1e3 * statistics.median(times[name]) for name in ("pictures", "step"))
    publish(
        row(
            "the pictures' share of a step, 140x320, shallow DCGAN, batch 64",
            f"{pictures:.0f} of {step:.0f} ms = {share:.1f} %",
            "< 5 %",
            share < 5,
        ),
        row("memory of a BEGAN step, 140x320, batch 16", f"{after - before:.2f} GiB over {before:.2f} GiB at rest"),
    )


if __name__ == "__main__":
    main()
