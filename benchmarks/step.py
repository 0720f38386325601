"""A training step against a plain PyTorch DCGAN loop, and against its convolutions alone: the same threads, in turn.

The plain loop is what a careful reader of introductory material writes: torchvision's transforms in a DataLoader, one
backward pass for the real and one for the generated images, losses fetched with ``.item()`` at every step.
"""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.roofline import Convolutions, Pass, flop, share_row
from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.data.batches import to_device
from orchestrator.data.images import ImageSet, ImageShape
from orchestrator.models.dcgan import Dcgan
from orchestrator.models.model import initialize
from orchestrator.objectives.binary_cross_entropy import NonSaturating
from orchestrator.runtime.memory import keep_freed_memory
from orchestrator.training.gan import Gan
from orchestrator.training.progress import Progress
from orchestrator.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH, BATCH, SHAPE = 64, 128, ImageShape(1, 28, 28)
STEPS, ROUNDS = 4, 11


class _Pictures(Dataset[Any]):
    """Images as torchvision's MNIST gives them: a PIL image for each index, through a transform."""

    def __init__(self, images: ImageSet) -> None:
        self.pixels = images.pixels[:, 0]
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.fromarray(self.pixels[index])), 0


class PlainLoop:
    """The usual loop."""

    def __init__(self, images: ImageSet) -> None:
        model = Dcgan(kind="dcgan", width=WIDTH)
        self.g, self.d = model.build_generator(SHAPE), model.build_discriminator(SHAPE)
        for network in (self.g, self.d):
            initialize(network, torch.Generator().manual_seed(0))
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.criterion = nn.BCEWithLogitsLoss()
        self.loader = DataLoader(_Pictures(images), batch_size=BATCH, shuffle=True, drop_last=True)
        self.batches = self._batches()

    def _batches(self) -> Iterator[torch.Tensor]:
        for _ in itertools.count():
            for real, _label in self.loader:
                yield real

    def step(self, real: torch.Tensor) -> tuple[float, float]:
        """One update of each network on a real batch."""
        ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
        self.d.zero_grad()
        loss_real = self.criterion(self.d(real).scores, ones)
        loss_real.backward()
        fake = self.g(torch.randn(BATCH, 100))
        loss_fake = self.criterion(self.d(fake.detach()).scores, zeros)
        loss_fake.backward()
        self.d_optimizer.step()
        self.g.zero_grad()
        loss_g = self.criterion(self.d(fake).scores, ones)
        loss_g.backward()
        self.g_optimizer.step()
        return loss_real.item() + loss_fake.item(), loss_g.item()


def convolutions_of(gan: Gan) -> Convolutions:
    """Those of a step: two passes and gradients of the discriminator, then one of it and of the generator."""
    images = torch.rand(BATCH, *SHAPE).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
    judged, passed_on = (Pass(gan.discriminator, images, trained) for trained in (True, False))
    return Convolutions(judged, judged, passed_on, Pass(gan.generator, torch.randn(BATCH, gan.latent_dim), True))


def main() -> None:
    """Time all in turn, with one and with all threads."""
    torch.set_flush_denormal(True)
    keep_freed_memory()
    pixels = np.random.default_rng(0).integers(0, 256, (20 * BATCH, *SHAPE), dtype=np.uint8)
    images = ImageSet(pixels)
    plain = PlainLoop(images)
    settings = TrainingSettings(epochs=1_000_000, batch_size=BATCH)
    gan = Gan(
        Dcgan(kind="dcgan", width=WIDTH),
        NonSaturating(kind="non_saturating"),
        settings,
        to_device(images, "cpu"),
        SHAPE,
    )
    progress = Progress(gan, 1_000_000)
    convolutions, operations = convolutions_of(gan), flop(gan.step)
    fixed = next(plain.batches)
    timed: dict[str, Callable[[], object]] = {
        "plain loop": lambda: plain.step(next(plain.batches)),
        "our loop": lambda: progress.advance(1),
        "plain step": lambda: plain.step(fixed),
        "our step": gan.step,
        "convolutions": convolutions,
    }
    rows = []
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        times = seconds_in_turn(timed, rounds=ROUNDS, repeat=STEPS)
        found = ratio(times["plain loop"], times["our loop"])
        with_data = _compared(times["plain loop"], times["our loop"])
        rows += [
            row(f"training step with its data, plain / ours, {threads} thread(s)", with_data, ">= 1x", found >= 1),
            row(f"the same on one fixed batch, {threads} thread(s)", _compared(times["plain step"], times["our step"])),
            share_row(
                f"training step, {threads} thread(s)",
                operations,
                times["our step"],
                convolutions,
                times["convolutions"],
            ),
        ]
    publish(*rows)


def _compared(first: list[float], second: list[float]) -> str:
    """Median seconds a step of each, and the median over rounds of their ratio."""
    one, other = (1e3 * statistics.median(times) for times in (first, second))
    return f"{one:.0f} ms / {other:.0f} ms = {ratio(first, second):.2f}x"


if __name__ == "__main__":
    main()
