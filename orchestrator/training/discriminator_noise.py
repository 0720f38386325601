"""What the discriminator draws for its images while it trains: dropout, instance noise and feature noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from numpy.random import SeedSequence

from orchestrator.models._layers import set_generator, set_noise

if TYPE_CHECKING:
    from torch import nn


class DiscriminatorNoise:
    """Drawn for a process's images alone, by a source seeded anew for each step: no state of it need be kept.

    Over the first ``noise_steps`` of a trial the deviation of the noise falls linearly to none; with 0 it stays.
    """

    def __init__(self, network: nn.Module, seed: int, rank: int, noise_steps: int, device: torch.device) -> None:
        self.network, self.seed, self.rank, self.noise_steps = network, seed, rank, noise_steps
        self.generator = torch.Generator(device)
        set_generator(network, self.generator)

    def set_for(self, step: int) -> None:
        """What a step, counted from 0, draws from, and what is left of the noise in it."""
        seeds = SeedSequence([self.seed, self.rank, step])
        self.generator.manual_seed(int(seeds.generate_state(1)[0]))
        set_noise(self.network, max(0.0, 1 - step / self.noise_steps) if self.noise_steps else 1.0)
