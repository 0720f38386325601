"""A generator and a discriminator in training: the step, and all state that the next step depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

from orchestrator.data.batches import BatchStream
from orchestrator.models.model import initialize
from orchestrator.store.columns import SIGNALS

if TYPE_CHECKING:
    from orchestrator.data.images import ImageShape
    from orchestrator.models.model import Model
    from orchestrator.objectives.objective import Objective
    from orchestrator.training.settings import TrainingSettings

SIGNAL_NAMES = tuple(column.name for column in SIGNALS)
"""What a step measures, in the order of the tensor it returns."""


class Gan:
    """Two networks, their optimizers, and the trial's own random numbers, on one device.

    The device's kind is the only thing that tells a GPU from a CPU here. Random numbers come from three streams
    derived from the seed (weights, batches, latents), so that a change to one leaves the others as they were.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        settings: TrainingSettings,
        images: Tensor,
        shape: ImageShape,
    ) -> None:
        self.settings, self.objective, self.latent_dim = settings, objective, model.latent_dim
        self.device = images.device
        weights_seed, batches_seed, latents_seed, fixed_seed = (
            int(s) for s in SeedSequence(settings.seed).generate_state(4)
        )
        weights = torch.Generator().manual_seed(weights_seed)
        self.generator = self._place(model.build_generator(shape), weights)
        self.discriminator = self._place(model.build_discriminator(shape), weights)
        self.g_parameters = list(self.generator.parameters())
        self.d_parameters = list(self.discriminator.parameters())
        self.g_optimizer = settings.g_optimizer.build(self.g_parameters)
        self.d_optimizer = settings.d_optimizer.build(self.d_parameters)
        self.latents = torch.Generator(self.device).manual_seed(latents_seed)
        stream = torch.Generator(self.device).manual_seed(batches_seed)
        self.batches = BatchStream(images, settings.batch_size, stream)
        fixed = torch.Generator().manual_seed(fixed_seed)
        self.fixed_latents = torch.randn(64, self.latent_dim, generator=fixed).to(self.device)

    def _place(self, network: nn.Module, weights: torch.Generator) -> nn.Module:
        initialize(network, weights)
        # Channels last is the layout in which both oneDNN and cuDNN run these convolutions fastest.
        return network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def step(self) -> Tensor:
        """Train one step; returns SIGNAL_NAMES as a (8,) tensor on the device, without waiting for the device.

        The generator's first update judges the images of the last discriminator update again, as DCGAN's
        training does, which saves a forward pass. Signals are those of the last update of each network.
        """
        for update in range(self.settings.d_steps):
            with torch.set_grad_enabled(update == self.settings.d_steps - 1):
                fake = self._generate()
            signals = self._update_discriminator(self.batches.next(), fake.detach())
        for update in range(self.settings.g_steps):
            if update > 0:
                fake = self._generate()
            signals |= self._update_generator(fake)
        return torch.stack([signals[name] for name in SIGNAL_NAMES])

    def _generate(self) -> Tensor:
        latents = torch.randn(self.settings.batch_size, self.latent_dim, generator=self.latents, device=self.device)
        return self.generator(latents)  # type: ignore[no-any-return]

    def _update_discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        # Real and generated images pass apart from each other: in one batch their statistics would mix.
        d_real, d_fake = self.discriminator(real), self.discriminator(fake)
        loss = self.objective.discriminator(d_real, d_fake)
        self.d_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.d_optimizer.step()
        with torch.no_grad():
            return {
                "d_loss": loss.detach(),
                "d_real": d_real.mean(),
                "d_real_probability": d_real.sigmoid().mean(),
            }

    def _update_generator(self, fake: Tensor) -> dict[str, Tensor]:
        # The discriminator only passes the gradient on: that of its own weights would be thrown away.
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        d_fake = self.discriminator(fake)
        d_fake.retain_grad()
        loss = self.objective.generator(d_fake)
        self.g_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.g_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        with torch.no_grad():
            return {
                "g_loss": loss.detach(),
                "d_fake": d_fake.mean(),
                "d_fake_probability": d_fake.sigmoid().mean(),
                # The loss is a mean over the batch: its gradient in one score is 1/n of that of the image's own
                # loss, so that the sum over the batch is the mean of the latter.
                "g_score_gradient": d_fake.grad.abs().sum(),
                "g_grad_norm": nn.utils.get_total_norm([p.grad for p in self.g_parameters if p.grad is not None]),
            }

    @torch.no_grad()
    def sample(self, latents: Tensor) -> Tensor:
        """Images (n, c, h, w) in [-1, 1] with the batch norm's running statistics: each depends on its latent only."""
        self.generator.eval()
        images: Tensor = self.generator(latents)
        self.generator.train()
        return images

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on: plain tensors and numbers, which ``weights_only`` loading reads."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "g_optimizer": self.g_optimizer.state_dict(),
            "d_optimizer": self.d_optimizer.state_dict(),
            "latents": self.latents.get_state(),
            "batches": self.batches.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict()``: bitwise the same numbers on the same CPU."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        self.latents.set_state(state["latents"])
        self.batches.load_state_dict(state["batches"])
