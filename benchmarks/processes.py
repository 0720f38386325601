"""Two processes of one thread that train one trial, against one process of two threads, on the same batch.

And what it costs to take the batch norm's statistics over both processes rather than over each alone.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.rows import publish, row
from orchestrator.data.batches import to_device
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.distributed.group import ALONE
from orchestrator.models.dcgan import Dcgan
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.training.gan import Gan
from orchestrator.training.settings import TrainingSettings
from tests.distributed.processes import Processes

if TYPE_CHECKING:
    from orchestrator.distributed.group import Group

WIDTH, BATCH, SHAPE = 64, 128, ImageShape(1, 28, 28)
STEPS, ROUNDS = 8, 9
_gans: dict[str, Gan] = {}


def seconds(group: Group, batch_norm: str) -> float:
    """Seconds of a step, as this process sees it; the networks stay from call to call."""
    if batch_norm not in _gans:
        pixels = np.random.default_rng(0).integers(0, 256, (20 * BATCH, *SHAPE), dtype=np.uint8)
        model = Dcgan.model_validate({"kind": "dcgan", "width": WIDTH, "batch_norm": batch_norm})
        settings = TrainingSettings(batch_size=BATCH)
        images = to_device(ImageSet(pixels), "cpu")
        _gans[batch_norm] = Gan(model, NonSaturating(kind="non_saturating"), settings, images, SHAPE, group)
        for _ in range(3):
            _gans[batch_norm].step()
    group.broadcast(None)
    began = time.perf_counter()
    for _ in range(STEPS):
        _gans[batch_norm].step()
    return (time.perf_counter() - began) / STEPS


def main() -> None:
    """Time all three in turn, round after round."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(2)
    rounds = []
    with Processes(2) as two:
        for _ in range(ROUNDS):
            alone = seconds(ALONE, "synchronized")
            rounds.append((alone, max(two.run(seconds, "synchronized")), max(two.run(seconds, "per_device"))))
    alone, synchronized, per_device = (statistics.median(times) * 1e3 for times in zip(*rounds, strict=True))
    ratio = statistics.median(one / both for one, both, _ in rounds)
    cost = 100 * (statistics.median(both / each for _, both, each in rounds) - 1)
    publish(
        row(
            f"step of batch {BATCH}, 1 process x 2 threads / 2 processes x 1 thread",
            f"{alone:.0f} ms / {synchronized:.0f} ms = {ratio:.2f}x",
            ">= 0.8x",
            ratio >= 0.8,
        ),
        row(
            "the same on 2 processes, batch norm synchronized / per device",
            f"{synchronized:.0f} ms / {per_device:.0f} ms = {cost:+.0f} %",
        ),
    )


if __name__ == "__main__":
    main()
