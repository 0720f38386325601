"""A generator and a discriminator in training: the step, and all state that the next step depends on."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from numpy.random import SeedSequence
from torch import Tensor, nn
from torch.func import functional_call

from orchestrator.data.batches import BatchStream
from orchestrator.distributed.group import ALONE
from orchestrator.judgement import Judgement
from orchestrator.objectives.objective import Round
from orchestrator.training.disturbances import Disturbances
from orchestrator.training.networks import Averaged, build
from orchestrator.training.penalties import Penalties
from orchestrator.training.rates import Rates, Stall
from orchestrator.training.signals import signal_names
from orchestrator.training.statistics import running_statistics, statistics_held
from orchestrator.training.unrolled import look_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.data.images import ImageShape
    from orchestrator.distributed.group import Group
    from orchestrator.models.model import Model
    from orchestrator.objectives.objective import Objective
    from orchestrator.training.settings import TrainingSettings

    Tensors = tuple[Tensor, ...]

PARTS = ("generator", "discriminator", "g_optimizer", "d_optimizer", "batches")
"""What has a state of its own, by its name in ``Gan`` and in checkpoints."""


class Gan:
    """Two networks, their optimizers, and the trial's own random numbers, on one device of a group's.

    The device's kind is the only thing that tells a GPU from a CPU here. Random numbers come from four streams
    derived from the seed (weights, batches, latents, the objective's noise), so that a change to one leaves the others
    as they were. Every process of the group draws them for the whole batch and computes on its share: weights, batches
    and latents are the same whatever their number, and so is the state. Only the dropout and noise within
    the discriminator are each process's own.
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
        weights_seed, batches_seed, latents_seed, fixed_seed, noise_seed = (
            int(s) for s in SeedSequence(settings.seed).generate_state(5)
        )
        weights = torch.Generator().manual_seed(weights_seed)
        self.generator, self.discriminator = build(model, shape, weights, group, self.device)
        self.g_parameters = list(self.generator.parameters())
        self.d_parameters = list(self.discriminator.parameters())
        self.g_optimizer = settings.g_optimizer.build(self.g_parameters)
        self.d_optimizer = settings.d_optimizer.build(self.d_parameters)
        self.averaged = Averaged(self.generator, settings.g_ema) if settings.g_ema else None
        self.steps = 0
        steps_per_epoch = len(images) // settings.batch_size
        rates = (self.g_optimizer, settings.g_optimizer.lr), (self.d_optimizer, settings.d_optimizer.lr)
        self.rates = Rates(settings.schedule, rates, steps_per_epoch * settings.epochs)
        self.latents = torch.Generator(self.device).manual_seed(latents_seed)
        self.noise = torch.Generator(self.device).manual_seed(noise_seed)
        self.penalties = Penalties(objective.penalties, settings, group, self.noise)
        noise_steps = steps_per_epoch * settings.noise_epochs
        self.disturbances = Disturbances(self.discriminator, noise_seed, group.rank, noise_steps, self.device)
        self.signal_names = signal_names(objective)
        self.state = {name: value.to(self.device) for name, value in objective.initial_state().items()}
        stream = torch.Generator(self.device).manual_seed(batches_seed)
        self.batches = BatchStream(images, settings.batch_size, stream, group.share(settings.batch_size))
        fixed = torch.Generator().manual_seed(fixed_seed)
        self.fixed_latents = torch.randn(64, model.latent_dim, generator=fixed).to(self.device)

    def step(self) -> Tensor:
        """Train one step; returns ``signal_names`` as a tensor on the device, without waiting for the device.

        The generator's first update judges the images of the last discriminator update again, as DCGAN's
        training does, which saves a forward pass; with ``accumulate`` it makes them again, since their graph would be
        that of the whole batch. Signals are those of the last update of each network, over the whole batch of all
        processes, and the same on each.
        """
        self.rates.set_for(self.steps)
        self.disturbances.set_for(self.steps)
        fake: Tensor | None = None
        for update in range(self.settings.d_steps):
            latents = self._draw()
            last = update == self.settings.d_steps - 1
            kept = last and len(latents) == 1 and not self.objective.draws_apart
            # A network's running statistics and spectral norms are moved in its own updates alone.
            with torch.set_grad_enabled(kept), nullcontext() if kept else statistics_held(self.generator):
                fakes = [self._forward(self.generator, part) for part in latents]
            fake = fakes[0] if kept else None
            reals = torch.tensor_split(self.batches.next(), self.settings.accumulate)
            d_signals, d_scores = self._update_discriminator(reals, [images.detach() for images in fakes])
        for update in range(self.settings.g_steps):
            if update > 0 or self.objective.draws_apart:
                latents, fake = self._draw(), None
            g_signals, g_scores = self._update_generator(latents, fake, reals)
        self.state = self.objective.next_state(self._round(), d_scores, g_scores)
        self.steps += 1
        signals = d_signals | g_signals | self.state
        return torch.stack([signals[name].to(d_scores.dtype) for name in self.signal_names])

    def _round(self) -> Round:
        return Round(self.state, self.noise)

    def _draw(self) -> tuple[Tensor, ...]:
        """This process's latent vectors of an update, in as many parts as its gradient is accumulated over."""
        size = self.settings.batch_size, self.model.latent_dim
        latents = torch.randn(size, generator=self.latents, device=self.device)
        return torch.tensor_split(self.group.own(latents), self.settings.accumulate)

    def _forward(self, network: Callable[[Tensor], Any], inputs: Tensor) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return network(inputs)

    def _judge(self, images: Tensor, ahead: dict[str, Tensor] | None = None) -> Tensor:
        """Of each image its score, and its features where a loss looks at them: (n, 1 or 1 + f).

        In single precision at least: sums over the batch need it. ``ahead`` takes the place of the discriminator's
        parameters and buffers.
        """
        network = self.discriminator if ahead is None else partial(functional_call, self.discriminator, ahead)
        scores, features = self._forward(network, images)
        rows = torch.cat([scores[:, None], features], 1) if self.objective.sees_features else scores[:, None]
        return rows.to(torch.promote_types(rows.dtype, torch.float32))

    def _update_discriminator(
        self, reals: Sequence[Tensor], fakes: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One update; its signals, and the scores of all real images."""

        def judge(part: int) -> Tensors:
            # Real and generated images pass apart from each other: in one batch their statistics would mix.
            return self._judge(reals[part]), self._judge(fakes[part])

        def loss_of(real: Judgement, fake: Judgement) -> Tensor:
            return self.objective.discriminator(real, fake, self._round())

        self.d_optimizer.zero_grad(set_to_none=True)
        penalty = self.penalties.add(lambda points: self.discriminator(points).scores, reals, fakes)
        loss, (d_real, _), _ = self._backward(judge, loss_of, self.d_parameters)
        self.d_optimizer.step()
        signals = {"d_loss": loss, "d_real": d_real.mean(), "d_real_probability": d_real.sigmoid().mean()}
        return signals | penalty, d_real

    def _update_generator(
        self, latents: Sequence[Tensor], fake: Tensor | None, reals: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One update, on the images of these latent vectors; ``fake`` are they where they are at hand.

        Returns its signals, and the scores of all generated images.
        """
        unrolled = self.settings.unrolled_steps > 0
        if unrolled and fake is None:
            fake = self._forward(self.generator, latents[0])
        ahead = self._look_ahead(reals[0], fake) if unrolled and fake is not None else None
        slope = torch.zeros((), dtype=self.g_parameters[0].dtype, device=self.device)

        def note(gradient: Tensor) -> None:
            slope.add_(gradient.to(slope.dtype).flatten(1).norm(dim=1).sum())

        def judge(part: int) -> Tensors:
            images = self._forward(self.generator, latents[part]) if fake is None else fake
            if images.requires_grad:
                images.register_hook(note)
            said = self._judge(images, ahead)
            return (said, self._judge(reals[part], ahead)) if self.objective.sees_real else (said,)

        def loss_of(generated: Judgement, real: Judgement | None = None) -> Tensor:
            return self.objective.generator_loss(generated, real, self._round())

        # The discriminator only passes the gradient on: that of its own weights would be thrown away.
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        self.g_optimizer.zero_grad(set_to_none=True)
        with statistics_held(self.discriminator):
            loss, (d_fake, *_), (gradient, *_) = self._backward(judge, loss_of, self.g_parameters, (slope,))
        self.g_optimizer.step()
        if self.averaged is not None:
            self.averaged.update(self.generator)
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        return {
            "g_loss": loss,
            "d_fake": d_fake.mean(),
            "d_fake_probability": d_fake.sigmoid().mean(),
            # The loss is a mean over the batch: its gradient in one score is 1/n of that of the image's own
            # loss, so that the sum over the batch is the mean of the latter.
            "g_score_gradient": gradient.abs().sum(),
            "g_image_gradient": slope,
            "g_grad_norm": nn.utils.get_total_norm([p.grad for p in self.g_parameters if p.grad is not None]),
        }, d_fake

    def _look_ahead(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's parameters and buffers some updates on, as a graph back to the generated images."""

        def loss_of(state: dict[str, Tensor]) -> Tensor:
            of_real, of_fake = (_read(self._judge(images, state)) for images in (real, fake))
            return self.objective.discriminator(of_real, of_fake, self._round())

        return look_ahead(self.discriminator, self.d_optimizer, loss_of, self.settings.unrolled_steps)

    def _backward(
        self,
        judge: Callable[[int], Tensors],
        loss_of: Callable[..., Tensor],
        parameters: list[nn.Parameter],
        also: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Add to the parameters the gradient of the loss of the whole batch, whatever its form.

        ``judge`` judges one part of this process's images. What is said of all parts and processes is joined, the loss
        is computed from it on each process alike, and its gradient in what was said of an image goes back through
        the pass which said it. What the processes find for the parameters, and have put into ``also`` on the way, is
        then summed.

        Returns the loss, the joined scores, and its gradients in them.
        """
        parts = range(self.settings.accumulate)
        if len(parts) == 1:
            own = [judge(0)]
        else:  # of each part only what is said is kept, and its pass is made again for its gradient
            before = self.disturbances.generator.get_state()
            with torch.no_grad(), statistics_held(self.generator, self.discriminator):
                own = [judge(part) for part in parts]
            self.disturbances.generator.set_state(before)
        said = torch.stack([torch.cat(kind) for kind in zip(*own, strict=True)], dim=1)
        together = self.group.gather(said, self.settings.batch_size)
        joined = tuple(kind.detach().requires_grad_() for kind in together.unbind(1))
        loss = loss_of(*map(_read, joined))
        gradients = torch.autograd.grad(loss, joined, materialize_grads=True)
        shares = [torch.tensor_split(self.group.own(gradient), len(parts)) for gradient in gradients]
        for part in parts:
            made = own[part] if len(parts) == 1 else judge(part)
            graphs = [(rows, share[part]) for rows, share in zip(made, shares, strict=True) if rows.requires_grad]
            torch.autograd.backward([rows for rows, _ in graphs], [share for _, share in graphs])
        self.group.sum_gradients(parameters, also)
        return loss.detach(), tuple(r[:, 0].detach() for r in joined), tuple(g[:, 0] for g in gradients)

    @torch.no_grad()
    def sample(self, latents: Tensor) -> Tensor:
        """Images (n, c, h, w) in [-1, 1] with the batch norm's running statistics: each depends on its latent only.

        They are those of the averaged weights where there are any.
        """
        network = self.drawing
        network.eval()
        images: Tensor = network(latents)
        network.train()
        return images

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """What a discriminator that is an autoencoder makes of images (n, c, h, w) in [-1, 1], each by itself."""
        network = self.discriminator
        network.eval()
        images = network.reconstruct(images)  # type: ignore[operator]
        network.train()
        return images

    @property
    def drawing(self) -> nn.Module:
        """The generator that samples are drawn with: of the averaged weights where there are any."""
        return self.averaged.module if self.averaged is not None else self.generator

    def join_statistics(self) -> None:
        """Put the mean over the processes in the place of running statistics that each has kept for itself.

        They follow the batches linearly: to go on from the mean changes no later mean.
        """
        if self.model.batch_norm == "per_device":
            self.group.average([s for n in (self.generator, self.discriminator) for s in running_statistics(n)])
            if self.averaged is not None:
                self.averaged.follow(self.generator)

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on: plain tensors and numbers, which ``weights_only`` loading reads."""
        return {
            **{name: getattr(self, name).state_dict() for name in PARTS},
            "latents": self.latents.get_state(),
            "noise": self.noise.get_state(),
            "objective": dict(self.state),
            "steps": self.steps,
            "stall": list(self.rates.stall),
            "averaged": self.averaged.state_dict() if self.averaged else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict()``: bitwise the same numbers on the same CPU and as many processes."""
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.latents.set_state(state["latents"])
        self.noise.set_state(state["noise"])
        self.steps, self.rates.stall = state["steps"], Stall(*state["stall"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.state = {name: state["objective"][name].to(self.device) for name in self.state}


def _read(rows: Tensor) -> Judgement:
    """What ``Gan._judge`` put side by side."""
    return Judgement(rows[:, 0], rows[:, 1:])
