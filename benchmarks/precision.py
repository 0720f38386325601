"""A training step in bf16 against one in fp32 on this processor: the same networks and threads, in turn."""

from __future__ import annotations

import statistics

import torch

from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.data.images import ImageShape
from orchestrator.hardware import BF16_FLAGS, processor
from orchestrator.models.dcgan import Dcgan
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.training.gan import Gan
from orchestrator.training.settings import TrainingSettings

BATCH, SHAPE = 128, ImageShape(1, 28, 28)
WIDTHS = (16, 64)
STEPS, ROUNDS = 4, 7


def main() -> None:
    """Time both at two widths, with one and with all threads."""
    if not processor().computes_bf16:
        publish(row("training step, fp32 / bf16", f"this processor has none of {', '.join(BF16_FLAGS)}"))
        return
    torch.set_flush_denormal(True)
    images = torch.randint(0, 256, (20 * BATCH, *SHAPE), dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    rows = []
    for width in WIDTHS:
        steps = {}
        for precision in ("fp32", "bf16"):
            settings = TrainingSettings.model_validate({"batch_size": BATCH, "precision": precision})
            model = Dcgan(kind="dcgan", width=width)
            steps[precision] = Gan(model, NonSaturating(kind="non_saturating"), settings, images, SHAPE).step
        for threads in sorted({1, torch.get_num_threads()}):
            torch.set_num_threads(threads)
            times = seconds_in_turn(steps, rounds=ROUNDS, repeat=STEPS)
            fp32, bf16 = (statistics.median(times[precision]) * 1e3 for precision in ("fp32", "bf16"))
            text = f"{fp32:.0f} ms / {bf16:.0f} ms = {ratio(times['fp32'], times['bf16']):.2f}x"
            rows.append(row(f"training step of width {width}, fp32 / bf16, {threads} thread(s)", text))
    publish(*rows)


if __name__ == "__main__":
    main()
