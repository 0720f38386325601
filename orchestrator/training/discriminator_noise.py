"""The discriminator's random numbers while it trains: dropout, instance noise and feature noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from numpy.random import SeedSequence

from orchestrator.models._layers import set_generator, set_noise

if TYPE_CHECKING:
    from torch import nn


class DiscriminatorNoise:
    """Each process draws for its own images, from a generator that is seeded anew at each step: no state is kept.

    The standard deviation of the noise falls linearly to 0 over the first ``noise_steps`` of a trial; with 0 it stays.
    """

    def __init__(self, network: nn.Module, seed: int, rank: int, noise_steps: int, device: torch.device) -> None:
        self.network, self.seed, self.rank, self.noise_steps = network, seed, rank, noise_steps
        self.generator = torch.Generator(device)
        set_generator(network, self.generator)

    def set_for(self, step: int) -> None:
        """Seed the generator for a step, counted from 0, and set the noise's standard deviation at this step."""
        seeds = SeedSequence([self.seed, self.rank, step])
        self.generator.manual_seed(int(seeds.generate_state(1)[0]))
        set_noise(self.network, max(0.0, 1 - step / self.noise_steps) if self.noise_steps else 1.0)
