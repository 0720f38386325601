"""Latent searches by L-BFGS that drop restarts, against Adam's with all of them: evaluations and time to the same loss.

The generator is trained first, for some seconds, and the images are held-out ones, which no latent vector reproduces:
of an image that the generator made itself L-BFGS comes as close as one likes, and Adam does not.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.data.batches import to_device
from orchestrator.data.ranges import unit_from_bytes
from orchestrator.distributed.group import ALONE
from orchestrator.evaluations.latent_search.search import SearchResult, Targets, draw_starts, search
from orchestrator.evaluations.latent_search.settings import LatentSearch
from orchestrator.runtime.memory import keep_freed_memory
from orchestrator.training.learners import learner_of
from orchestrator.training.settings import TrialSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

IMAGES, RESTARTS, ADAM_STEPS, LBFGS_STEPS, ROUNDS = 24, 5, 200, 60, 3
WIDTH, LATENT_DIM, STEPS = 16, 32, 600
AIM = 3


def trained() -> tuple[nn.Module, Targets]:
    """A GAN's generator in eval mode and frozen, and held-out images."""
    settings = TrialSettings.model_validate(
        {
            "data": {"name": "digits"},
            "model": {"kind": "dcgan", "width": WIDTH, "latent_dim": LATENT_DIM},
            "objective": {"kind": "non_saturating"},
            "training": {"batch_size": 64, "epochs": 1000},
        }
    )
    learner = learner_of(settings, to_device(settings.data.read("train", None), "cpu"), ALONE)
    for _ in range(STEPS):
        learner.step()
    images = unit_from_bytes(torch.from_numpy(settings.data.read("test", None).pixels[:IMAGES]))
    observed = torch.ones_like(images[:, :1], dtype=torch.bool)
    return learner.generator.eval().requires_grad_(False), Targets(images, observed, range(IMAGES))


def evaluations(generator: nn.Module, searching: Callable[[], SearchResult]) -> tuple[float, float]:
    """Evaluations of the generator that a search makes, and its mean best loss, both of an image."""
    counts: list[int] = []
    hook = generator.register_forward_hook(lambda network, inputs, images: counts.append(len(images)))
    losses = searching().losses
    hook.remove()
    return sum(counts) / IMAGES, losses.min(1).values.mean().item()


def main() -> None:
    """Count evaluations once, then time both in turn."""
    torch.set_flush_denormal(True)
    keep_freed_memory()
    generator, targets = trained()
    starts = draw_starts(targets, RESTARTS, LATENT_DIM, seed=0)
    kinds: dict[str, dict[str, Any]] = {
        "adam": {"steps": ADAM_STEPS},
        "lbfgs": {"steps": LBFGS_STEPS, "optimizer": "lbfgs", "halving": True},
    }
    searches = {name: LatentSearch(restarts=RESTARTS, **options) for name, options in kinds.items()}
    run = {name: _searching(settings, generator, targets, starts) for name, settings in searches.items()}
    (many, loss), (few, lower) = (evaluations(generator, run[name]) for name in ("adam", "lbfgs"))
    times = seconds_in_turn(run, rounds=ROUNDS)
    found = ratio(times["adam"], times["lbfgs"])
    one, other = (statistics.median(times[name]) for name in ("adam", "lbfgs"))
    what = f"{RESTARTS} starts, Adam x {ADAM_STEPS} steps / L-BFGS x {LBFGS_STEPS} with halving"
    publish(
        row(
            f"latent search of a held-out image, {what}: evaluations of G",
            f"{many:.0f} / {few:.0f} = {many / few:.1f}x",
            f">= {AIM}x",
            many / few >= AIM,
        ),
        row(
            f"the same, time for {IMAGES} images",
            f"{one:.2f} s / {other:.2f} s = {found:.1f}x",
            f">= {AIM}x",
            found >= AIM,
        ),
        row(
            "the same, mean best loss of the second against the first",
            f"{100 * (lower / loss - 1):+.1f} %",
            "<= 0 %",
            lower <= loss,
        ),
    )


def _searching(
    settings: LatentSearch, generator: nn.Module, targets: Targets, starts: torch.Tensor
) -> Callable[[], SearchResult]:
    return lambda: search(settings, generator, targets, starts)


if __name__ == "__main__":
    main()
