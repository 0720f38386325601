"""A generator and a discriminator in training: the step, and all state that the next step depends on."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

from orchestrator.data.batches import BatchStream
from orchestrator.distributed.batch_norm import running_statistics, statistics_held, synchronize
from orchestrator.distributed.group import ALONE
from orchestrator.models.model import initialize
from orchestrator.store.columns import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.data.images import ImageShape
    from orchestrator.distributed.group import Group
    from orchestrator.models.model import Model
    from orchestrator.objectives.objective import Objective
    from orchestrator.training.settings import TrainingSettings

    Scores = tuple[Tensor, ...]

SIGNAL_NAMES = tuple(column.name for column in SIGNALS)
"""What a step measures, in the order of the tensor it returns."""


class Gan:
    """Two networks, their optimizers, and the trial's own random numbers, on one device of a group's.

    The device's kind is the only thing that tells a GPU from a CPU here. Random numbers come from three streams
    derived from the seed (weights, batches, latents), so that a change to one leaves the others as they were. Every
    process of the group draws them for the whole batch and computes on its share: weights, batches and latents are
    the same whatever their number, and so is the state.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        settings: TrainingSettings,
        images: Tensor,
        shape: ImageShape,
        group: Group = ALONE,
    ) -> None:
        self.model, self.settings, self.objective, self.group = model, settings, objective, group
        self.device = images.device
        self.precision = settings.precision_on(self.device)
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
        self.batches = BatchStream(images, settings.batch_size, stream, group.share(settings.batch_size))
        fixed = torch.Generator().manual_seed(fixed_seed)
        self.fixed_latents = torch.randn(64, model.latent_dim, generator=fixed).to(self.device)

    def _place(self, network: nn.Module, weights: torch.Generator) -> nn.Module:
        initialize(network, weights, self.model.initialization)
        if self.model.batch_norm == "synchronized":
            network = synchronize(network, self.group, self.device)
        # Channels last is the layout in which both oneDNN and cuDNN run these convolutions fastest.
        return network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def step(self) -> Tensor:
        """Train one step; returns SIGNAL_NAMES as a (8,) tensor on the device, without waiting for the device.

        The generator's first update judges the images of the last discriminator update again, as DCGAN's
        training does, which saves a forward pass; with ``accumulate`` it makes them again, since their graph would be
        that of the whole batch. Signals are those of the last update of each network, over the whole batch of all
        processes, and the same on each.
        """
        signals: dict[str, Tensor] = {}
        fake: Tensor | None = None
        for update in range(self.settings.d_steps):
            latents = self._draw()
            kept = update == self.settings.d_steps - 1 and len(latents) == 1
            # A network's running statistics are moved in its own updates alone.
            with torch.set_grad_enabled(kept), nullcontext() if kept else statistics_held(self.generator):
                fakes = [self._forward(self.generator, part) for part in latents]
            fake = fakes[0] if kept else None
            reals = torch.tensor_split(self.batches.next(), self.settings.accumulate)
            signals |= self._update_discriminator(reals, [images.detach() for images in fakes])
        for update in range(self.settings.g_steps):
            if update > 0:
                latents, fake = self._draw(), None
            signals |= self._update_generator(latents, fake)
        return torch.stack([signals[name] for name in SIGNAL_NAMES])

    def _draw(self) -> tuple[Tensor, ...]:
        """This process's latent vectors of an update, in as many parts as its gradient is accumulated over."""
        size = self.settings.batch_size, self.model.latent_dim
        latents = torch.randn(size, generator=self.latents, device=self.device)
        return torch.tensor_split(self.group.own(latents), self.settings.accumulate)

    def _forward(self, network: nn.Module, inputs: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return network(inputs)  # type: ignore[no-any-return]

    def _judge(self, images: Tensor) -> Tensor:
        """Raw scores (n,), in single precision at least: sums over the batch need it."""
        scores = self._forward(self.discriminator, images).scores
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def _update_discriminator(self, reals: Sequence[Tensor], fakes: Sequence[Tensor]) -> dict[str, Tensor]:
        def judge(part: int) -> Scores:
            # Real and generated images pass apart from each other: in one batch their statistics would mix.
            return self._judge(reals[part]), self._judge(fakes[part])

        self.d_optimizer.zero_grad(set_to_none=True)
        loss, (d_real, _), _ = self._backward(judge, self.objective.discriminator, self.d_parameters)
        self.d_optimizer.step()
        return {"d_loss": loss, "d_real": d_real.mean(), "d_real_probability": d_real.sigmoid().mean()}

    def _update_generator(self, latents: Sequence[Tensor], fake: Tensor | None) -> dict[str, Tensor]:
        """One update, on the images of these latent vectors; ``fake`` are they where they are at hand."""

        def judge(part: int) -> Scores:
            images = self._forward(self.generator, latents[part]) if fake is None else fake
            return (self._judge(images),)

        # The discriminator only passes the gradient on: that of its own weights would be thrown away.
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        self.g_optimizer.zero_grad(set_to_none=True)
        with statistics_held(self.discriminator):
            loss, (d_fake,), (gradient,) = self._backward(judge, self.objective.generator, self.g_parameters)
        self.g_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        return {
            "g_loss": loss,
            "d_fake": d_fake.mean(),
            "d_fake_probability": d_fake.sigmoid().mean(),
            # The loss is a mean over the batch: its gradient in one score is 1/n of that of the image's own
            # loss, so that the sum over the batch is the mean of the latter.
            "g_score_gradient": gradient.abs().sum(),
            "g_grad_norm": nn.utils.get_total_norm([p.grad for p in self.g_parameters if p.grad is not None]),
        }

    def _backward(
        self, judge: Callable[[int], Scores], objective: Callable[..., Tensor], parameters: list[nn.Parameter]
    ) -> tuple[Tensor, Scores, Scores]:
        """Add to the parameters the gradient of the loss of the whole batch, whatever its form.

        ``judge`` makes the scores of one part of this process's images. The scores of all parts and processes are
        joined, the loss is computed from them on each process alike, and its gradient in a score goes back through
        the pass which made that score. What the processes find for the parameters is then summed.

        Returns the loss, the joined scores, and its gradients in them.
        """
        parts = range(self.settings.accumulate)
        if len(parts) == 1:
            own = [judge(0)]
        else:  # of each part only the scores are kept, and its pass is made again for its gradient
            with torch.no_grad(), statistics_held(self.generator, self.discriminator):
                own = [judge(part) for part in parts]
        scores = torch.stack([torch.cat(kind) for kind in zip(*own, strict=True)], dim=1)
        together = self.group.gather(scores, self.settings.batch_size)
        joined = tuple(kind.detach().requires_grad_() for kind in together.unbind(1))
        loss = objective(*joined)
        gradients = torch.autograd.grad(loss, joined, materialize_grads=True)
        shares = [torch.tensor_split(self.group.own(gradient), len(parts)) for gradient in gradients]
        for part in parts:
            made = own[part] if len(parts) == 1 else judge(part)
            torch.autograd.backward(made, [share[part] for share in shares])
        self.group.sum_gradients(parameters)
        return loss.detach(), tuple(scores.detach() for scores in joined), gradients

    @torch.no_grad()
    def sample(self, latents: Tensor) -> Tensor:
        """Images (n, c, h, w) in [-1, 1] with the batch norm's running statistics: each depends on its latent only."""
        self.generator.eval()
        images: Tensor = self.generator(latents)
        self.generator.train()
        return images

    def join_statistics(self) -> None:
        """Put the mean over the processes in the place of running statistics that each has kept for itself.

        They follow the batches linearly: to go on from the mean changes no later mean.
        """
        if self.model.batch_norm == "per_device":
            self.group.average([s for n in (self.generator, self.discriminator) for s in running_statistics(n)])

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
        """Go on from ``state_dict()``: bitwise the same numbers on the same CPU and as many processes."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        self.latents.set_state(state["latents"])
        self.batches.load_state_dict(state["batches"])
