"""A step under each objective against one under the non-saturating, with the same networks; and looking ahead.

A step that looks K updates ahead is held against the floating point operations that it takes, as torch counts them:
those of K updates of the discriminator, and of the gradient through them.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

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


def operations(gan: Gan) -> int:
    """Floating point operations of a step's convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        gan.step()
    return counter.get_total_flops()


def looking_ahead() -> list[dict[str, object]]:
    """The rows of steps that look ahead."""
    plain = {"kind": "non_saturating"}
    base, others = make(plain, {"kind": "dcgan"}), {}
    for k in AHEAD:
        others[f"{k}"] = make(plain, {"kind": "dcgan"}, unrolled_steps=k)
    rows = []
    for k, (ms, times) in against(base, others).items():
        worth = operations(others[k]) / operations(base)
        measured = f"{ms:.0f} ms, {times:.2f}x for {worth:.2f}x the operations: {times / worth:.2f} of them"
        rows.append(row(f"step looking {k} ahead / not", measured))
    return rows


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
    publish(*rows, *looking_ahead())


if __name__ == "__main__":
    main()
