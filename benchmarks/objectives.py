"""A step under each objective against one under the non-saturating, with the same networks; and looking ahead.

K updates ahead of the discriminator, each with its graph, are held against 1 + K/2 steps: a step is about two of the
discriminator's updates' worth.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.data.batches import to_device
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.training.gan import Gan
from orchestrator.training.settings import TrialSettings
from tests.objectives.outputs import KINDS, REQUIRED

BATCH, SHAPE = 64, ImageShape(1, 28, 28)
ROUNDS, REPEAT = 5, 2
AHEAD = (1, 2, 4)


def make(objective: dict[str, Any], model: dict[str, Any], **training: Any) -> Gan:
    """A GAN on images of noise."""
    settings = TrialSettings.model_validate(
        {
            "data": {"name": "digits"},
            "model": {"width": 32, **model},
            "objective": objective,
            "training": {"batch_size": BATCH, "epochs": 1000, **training},
        }
    )
    pixels = np.random.default_rng(0).integers(0, 256, (4 * BATCH, *SHAPE), dtype=np.uint8)
    images = to_device(ImageSet(pixels), "cpu")
    return Gan(settings.model, settings.objective, settings.training, images, SHAPE)


def against(base: Gan, others: dict[str, Gan]) -> dict[str, tuple[float, float]]:
    """Of each its median milliseconds a step, and how many of the base's steps that is."""
    steps = {"": base.step, **{name: gan.step for name, gan in others.items()}}
    times = seconds_in_turn(steps, rounds=ROUNDS, repeat=REPEAT)
    return {name: (1e3 * statistics.median(times[name]), ratio(times[name], times[""])) for name in others}


def main() -> None:
    """Time all, family by family."""
    torch.set_flush_denormal(True)
    scoring = partial(make, model={"kind": "dcgan"})
    apart = partial(make, model={"kind": "dcgan", "discriminator_norm": "layer"})
    encoding = partial(make, model={"kind": "autoencoding"})
    plain = {"kind": "non_saturating"}
    of_scores = [kind for kind in KINDS if kind not in ("non_saturating", "wgan_gp", "ebgan", "began")]
    found = against(scoring(plain), {kind: scoring({"kind": kind, **REQUIRED.get(kind, {})}) for kind in of_scores})
    penalized = {"wgan_gp": apart({"kind": "wgan_gp"}), "non_saturating with R1": apart({**plain, "r1": 1.0})}
    found |= against(apart(plain), penalized)
    rows = [row(f"step, {name} / non-saturating", f"{ms:.0f} ms, {times:.2f}x") for name, (ms, times) in found.items()]
    began = encoding({"kind": "began"})
    ((ms, times),) = against(encoding({"kind": "ebgan", "margin": 1.0}), {"began": began}).values()
    rows.append(row("step, began / ebgan (autoencoders)", f"{ms:.0f} ms, {times:.2f}x"))
    ahead = against(scoring(plain), {f"{k}": scoring(plain, unrolled_steps=k) for k in AHEAD})
    for k, (ms, times) in ahead.items():
        worth = 1 + int(k) / 2
        rows.append(
            row(
                f"step looking {k} ahead / not, against {worth:g}",
                f"{ms:.0f} ms, {times:.2f}x = {times / worth:.2f} of it",
            )
        )
    publish(*rows)


if __name__ == "__main__":
    main()
