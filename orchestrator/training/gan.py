"""Training of a generator against a discriminator."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from orchestrator.data.ranges import from_bytes
from orchestrator.discriminator_output import DiscriminatorOutput
from orchestrator.models._layers import draws
from orchestrator.objectives.adversarial import Adversarial, UpdateContext
from orchestrator.training.augmentation import Augmentation
from orchestrator.training.discriminator_noise import DiscriminatorNoise
from orchestrator.training.learner import Learner
from orchestrator.training.networks import frozen
from orchestrator.training.penalties import Penalties
from orchestrator.training.statistics import statistics_held
from orchestrator.training.unrolled import unroll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.models.pair import Pair

    Tensors = tuple[Tensor, ...]


class _DiscriminatorUpdate(NamedTuple):
    """Its loss, the scores of all real images (n,), and each penalty of each of this process's images (part,)."""

    loss: Tensor
    scores: Tensor
    penalties: Sequence[Tensor]


class _GeneratorUpdate(NamedTuple):
    """Its loss, the scores of all generated images (n,), and the loss's gradient in them.

    ``image_gradients`` is the sum over images of the norm of the loss's gradient in an image.
    """

    loss: Tensor
    scores: Tensor
    gradient: Tensor
    image_gradients: Tensor


class Gan(Learner):
    """Adversarial training.

    Each process draws augmentations, and dropout and noise within the discriminator, for its own images: nothing else.
    """

    parts = ("networks", "discriminator", "g_optimizer", "d_optimizer", "batches")
    model: Pair
    objective: Adversarial

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``Learner``."""
        super().__init__(*args, **kwargs)
        settings = self.settings
        discriminator = self.model.build_discriminator(self.shape)
        self.model.init_weights(discriminator, self.weights)
        self.discriminator: nn.Module = self._place(discriminator)
        self._add_discriminator(self.discriminator)
        self.penalties = Penalties(self.objective.penalties, settings, self.group, self.noise)
        noise_steps = self.steps_per_epoch * settings.noise_epochs
        rank, device = self.group.rank, self.device
        self.discriminator_noise = DiscriminatorNoise(self.discriminator, self.noise_seed, rank, noise_steps, device)
        self.batches_a_step = settings.d_steps
        self.augment = Augmentation(settings.augmentation.policies, self.discriminator_noise.generator)
        self._draws_within = bool(self.augment.policies) or draws(self.discriminator)

    def prepare(self) -> None:
        """As ``Learner``; also the seed and the deviation of the noise within the discriminator."""
        super().prepare()
        self.discriminator_noise.set_for(self.steps)

    def _update(self) -> Mapping[str, Tensor]:
        """``d_steps`` updates of the discriminator, then ``g_steps`` of the generator.

        The generator's first update uses the images of the last discriminator update again, as DCGAN's training does,
        which saves a forward pass. With ``accumulate`` it computes them again, since keeping their graph would take
        the memory of the whole batch.
        """
        fake: Tensor | None = None
        for update in range(self.settings.d_steps):
            latents = self._draw()
            last = update == self.settings.d_steps - 1
            reuse = last and len(latents) == 1 and not self.objective.fresh_latents
            # A network's running statistics and spectral norms change in its own updates only.
            with torch.set_grad_enabled(reuse), nullcontext() if reuse else statistics_held(self.generator):
                fakes = [self._forward(self.generator, part) for part in latents]
            fake = fakes[0] if reuse else None
            reals = self._parts(self.batches.chosen(update)[0])
            d_update = self._update_discriminator(reals, [images.detach() for images in fakes])
        for update in range(self.settings.g_steps):
            if update > 0 or self.objective.fresh_latents:
                latents, fake = self._draw(), None
            g_update = self._update_generator(latents, fake, reals, update)
        for name, value in self.objective.next_state(self._context(), d_update.scores, g_update.scores).items():
            self.state[name].copy_(value)
        return self._metrics(d_update, g_update) | self.state

    def _metrics(self, d_update: _DiscriminatorUpdate, g_update: _GeneratorUpdate) -> dict[str, Tensor]:
        d_real, d_fake = d_update.scores, g_update.scores
        probabilities = {}
        if self.objective.judges == "scores":
            probabilities = {
                "d_real_probability": d_real.sigmoid().mean(),
                "d_fake_probability": d_fake.sigmoid().mean(),
            }
        return {
            **probabilities,
            "d_loss": d_update.loss,
            "d_real": d_real.mean(),
            **self.penalties.metrics(d_update.penalties),
            "g_loss": g_update.loss,
            "d_fake": d_fake.mean(),
            # The loss is a mean over the batch, and its gradient in one score is 1/n of the gradient of the image's
            # own loss: the sum over the batch is the mean of the latter.
            "g_score_gradient": g_update.gradient.abs().sum(),
            "g_image_gradient": g_update.image_gradients,
            "g_grad_norm": self._gradient_norm(),
        }

    def _context(self) -> UpdateContext:
        return UpdateContext(self.state, self.noise)

    def _run_discriminator(self, images: Tensor, unrolled_state: dict[str, Tensor] | None = None) -> Tensor:
        """The score of each image, followed by its features if the loss uses them: (n, 1 or 1 + f).

        At least single precision, which sums over the batch need. Images (n, c, h, w) in [-1, 1] are augmented first.
        ``unrolled_state`` replaces the discriminator's parameters and buffers.
        """
        network = (
            self.discriminator
            if unrolled_state is None
            else partial(functional_call, self.discriminator, unrolled_state)
        )
        scores, features = self._forward(network, self.augment(images))
        outputs = torch.cat([scores[:, None], features], 1) if self.objective.needs_features else scores[:, None]
        return outputs.to(torch.promote_types(outputs.dtype, torch.float32))

    def _update_discriminator(self, reals: Sequence[Tensor], fakes: Sequence[Tensor]) -> _DiscriminatorUpdate:
        def forward(part: int) -> Tensors:
            # Real and generated images are separate batches: batch norm would mix their statistics.
            return self._run_discriminator(reals[part]), self._run_discriminator(fakes[part])

        def global_loss(real: Tensor, fake: Tensor) -> Tensor:
            return self.objective.discriminator(_split(real), _split(fake), self._context())

        self.d_optimizer.zero_grad(set_to_none=True)
        # The gradient is that in the image before augmentation, as in the authors' code.
        penalties = self.penalties.add(
            lambda points: self.discriminator(self.augment(points)).scores, reals, fakes, self.d_parameters
        )
        loss, (outputs, _), _ = self._backward(forward, global_loss, self.d_parameters)
        self.d_optimizer.step()
        return _DiscriminatorUpdate(loss, outputs[:, 0], penalties)

    def _update_generator(
        self, latents: Sequence[Tensor], fake: Tensor | None, reals: Sequence[Tensor], number: int
    ) -> _GeneratorUpdate:
        """One update on the images of these latent vectors; ``fake`` are these images if they are already computed.

        ``number`` counts the generator's updates in a step, from 0 on.
        """
        unrolled = self.settings.unrolled_steps > 0
        if unrolled and fake is None:
            fake = self._forward(self.generator, latents[0])
        unrolled_state = self._unroll(reals[0], fake) if unrolled and fake is not None else None
        gradient_norms = torch.zeros((), dtype=self.g_parameters[0].dtype, device=self.device)

        def add_norms(gradient: Tensor) -> None:
            gradient_norms.add_(gradient.to(gradient_norms.dtype).flatten(1).norm(dim=1).sum())

        def forward(part: int) -> Tensors:
            images = self._forward(self.generator, latents[part]) if fake is None else fake
            if images.requires_grad:
                images.register_hook(add_norms)
            outputs = self._run_discriminator(images, unrolled_state)
            return (
                (outputs, self._run_discriminator(reals[part], unrolled_state))
                if self.objective.needs_real
                else (outputs,)
            )

        def global_loss(generated: Tensor, real: Tensor | None = None) -> Tensor:
            real_output = None if real is None else _split(real)
            return self.objective.generator_loss(_split(generated), real_output, self._context())

        self.g_optimizer.zero_grad(set_to_none=True)
        # The discriminator only passes the gradient on: the gradient of its own weights would be thrown away.
        with frozen(self.d_parameters), statistics_held(self.discriminator):
            loss, (outputs, *_), (gradient, *_) = self._backward(
                forward, global_loss, self.g_parameters, (gradient_norms,)
            )
        self._end_update(number)
        return _GeneratorUpdate(loss, outputs[:, 0], gradient[:, 0], gradient_norms)

    def _unroll(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's parameters and buffers after ``unrolled_steps`` updates, with a graph to ``fake``."""

        def global_loss(state: dict[str, Tensor]) -> Tensor:
            real_output, fake_output = (_split(self._run_discriminator(images, state)) for images in (real, fake))
            return self.objective.discriminator(real_output, fake_output, self._context())

        return unroll(self.discriminator, self.d_optimizer, global_loss, self.settings.unrolled_steps)

    def _trained(self) -> tuple[nn.Module, ...]:
        return self.networks, self.discriminator

    @contextmanager
    def _state_kept(self) -> Iterator[None]:
        # What a CUDA graph cannot record, and so is left out where nothing is drawn.
        before = self.discriminator_noise.generator.get_state() if self._draws_within else None
        with super()._state_kept():
            yield
        if before is not None:
            self.discriminator_noise.generator.set_state(before)

    def reconstruct(self, images: Tensor) -> Tensor:
        """The reconstructions of images (n, c, h, w) in [-1, 1] by a discriminator that is an autoencoder."""
        network: Any = self.discriminator
        return self._in_eval_mode(network, lambda: network.reconstruct(images))

    def panel(self, across: int) -> Sequence[Tensor]:
        """Training images and their reconstructions by the discriminator, then generated images and theirs."""
        if self.model.judges != "reconstruction":
            return ()
        real = from_bytes(self.images[:across])
        fake = self.sample(self.fixed_latents[: len(real)])
        return real, self.reconstruct(real), fake, self.reconstruct(fake)


def _split(outputs: Tensor) -> DiscriminatorOutput:
    """Scores (n,) and features (n, f) from the outputs of ``Gan._run_discriminator``."""
    return DiscriminatorOutput(outputs[:, 0], outputs[:, 1:])
