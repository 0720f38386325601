"""The latent search, images and restarts in one batch against one image and one restart at a time.

Both go the same number of steps from the same starts with the same generator, and come to the same loss: the plain
loop is torch.optim.Adam on one latent vector. Few items are enough to time it; what 64 images would take follows.
The batch is also held against its convolutions alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from benchmarks.roofline import Convolutions, Pass, flop, share_row
from benchmarks.rows import publish, row
from orchestrator.data.images import ImageShape
from orchestrator.evaluations.latent_search.search import Targets, draw_starts, search
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.models.dcgan import Dcgan
from orchestrator.models.model import initialize
from orchestrator.runtime.memory import keep_freed_memory

if TYPE_CHECKING:
    from torch import Tensor, nn

    from orchestrator.evaluations.latent_search.search import SearchResult

IMAGES, RESTARTS, STEPS, LATENT_DIM, SHAPE = 64, 5, 200, 100, ImageShape(1, 28, 28)
TIMED, ROUNDS = 4, 3
TOLERANCE = 0.01


def generator_of(device: torch.device) -> nn.Module:
    """DCGAN's with the statistics of batch norm that its weights bring about, in eval mode and frozen."""
    network = Dcgan(kind="dcgan", latent_dim=LATENT_DIM).build_generator(SHAPE)
    source = torch.Generator().manual_seed(0)
    initialize(network, source)
    with torch.no_grad():
        for _ in range(100):
            network(torch.randn(64, LATENT_DIM, generator=source))
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def one_by_one(generator: nn.Module, image: Tensor, start: Tensor) -> float:
    """The lowest loss of one restart of one image, by a plain loop."""
    latent = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([latent], lr=LatentSearch().lr)
    lowest = torch.tensor(torch.inf, device=image.device)
    for _ in range(STEPS):
        loss = ((generator(latent[None])[0] + 1) / 2 - image).square().mean()
        lowest = torch.minimum(lowest, loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        last = ((generator(latent[None])[0] + 1) / 2 - image).square().mean()
    return min(lowest.item(), last.item())


def main() -> None:
    """Time all in turn, round after round, and keep the fastest of each but for the share."""
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = generator_of(device)
    with torch.no_grad():
        source = torch.Generator().manual_seed(1)
        images = (generator(torch.randn(IMAGES, LATENT_DIM, generator=source).to(device)) + 1) / 2
    targets = Targets(images, torch.ones_like(images, dtype=torch.bool), range(IMAGES))
    whole = LatentSearch(steps=STEPS, restarts=RESTARTS)
    halved = LatentSearch(steps=STEPS, restarts=RESTARTS, halving=True)
    starts = draw_starts(targets, whole.restarts, LATENT_DIM, seed=0)
    convolutions = Convolutions(Pass(generator, starts.flatten(0, 1), trained=False))
    seconds: dict[str, list[float]] = {"plain": [], "batched": [], "halved": [], "convolutions": []}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        plain = [one_by_one(generator, images[item], starts[item, item]) for item in range(TIMED)]
        seconds["plain"].append((time.perf_counter() - began) * IMAGES * RESTARTS / TIMED)
        found = _timed(seconds["batched"], whole, generator, targets, starts)
        seconds["convolutions"].append(_seconds(convolutions, device))
        dropped = _timed(seconds["halved"], halved, generator, targets, starts)
    best = {name: min(times) for name, times in seconds.items()}
    apart = max(abs(found.losses[item, item].item() / loss - 1) for item, loss in enumerate(plain))
    size = f"{IMAGES} images x {RESTARTS} restarts x {STEPS} steps on {device.type}"
    lost = dropped.losses.min(1).values.mean().item() / found.losses.min(1).values.mean().item() - 1
    operations = _operations(generator, targets, starts)
    publish(
        share_row(f"latent search, {size}", operations, seconds["batched"], convolutions, seconds["convolutions"]),
        *(
            row(
                f"the same, one by one / {what}",
                f"{best['plain']:.1f} s / {best[name]:.2f} s = {best['plain'] / best[name]:.1f}x",
            )
            for name, what in (("batched", "in one batch"), ("halved", "in one batch, restarts dropped early"))
        ),
        row(
            "loss of a restart in the batch against the plain loop's",
            f"{apart:.1e} apart",
            "<= 1 %",
            apart <= TOLERANCE,
        ),
        row("mean best loss with restarts dropped early against without", f"{100 * lost:+.1f} %"),
    )


def _operations(generator: nn.Module, targets: Targets, starts: Tensor) -> int:
    """Floating-point operations of the batched search: its last step has no gradient, all others are alike."""

    def counted(steps: int) -> int:
        settings = LatentSearch(steps=steps, restarts=RESTARTS)
        return flop(lambda: search(settings, generator, targets, starts))

    one, two = counted(1), counted(2)
    return one + (STEPS - 1) * (two - one)


def _seconds(convolutions: Convolutions, device: torch.device) -> float:
    """Of one pass; the mean of some."""
    repeat = 20
    began = time.perf_counter()
    for _ in range(repeat):
        convolutions()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / repeat


def _timed(
    times: list[float], settings: LatentSearch, generator: nn.Module, targets: Targets, starts: Tensor
) -> SearchResult:
    began = time.perf_counter()
    found = search(settings, generator, targets, starts)
    found.losses.sum().item()
    times.append(time.perf_counter() - began)
    return found


if __name__ == "__main__":
    main()
