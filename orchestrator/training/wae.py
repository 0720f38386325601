"""An encoder and a generator in training: autoencoders, plain and Wasserstein."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from orchestrator.models.model import initialize
from orchestrator.objectives.wae_adversarial import WaeAdversarial
from orchestrator.objectives.wasserstein_autoencoder import WassersteinAutoencoder
from orchestrator.training.learner import Learner
from orchestrator.training.networks import frozen
from orchestrator.training.statistics import statistics_held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.objectives.reconstruction import Reconstruction

    Tensors = tuple[Tensor, ...]


class Wae(Learner):
    """Both lower the error of decoded images; a penalty, if there is one, is on the codes of the whole batch.

    Where a discriminator of latent vectors tells codes from draws from N(0, I), it makes one update before each of
    theirs.
    """

    objective: Reconstruction

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``Learner``."""
        super().__init__(*args, **kwargs)
        self.encoder: nn.Module = self.networks["encoder"]
        self.wasserstein = self.objective if isinstance(self.objective, WassersteinAutoencoder) else None
        self.critic = self.wasserstein.critic(self.latent_dim) if self.wasserstein is not None else None
        if self.critic is not None:
            initialize(self.critic, self.weights, "orthogonal")
            self.critic.to(self.device)
            self._oppose(self.critic)
            self.parts = (*self.parts, "critic", "d_optimizer")

    def _step(self) -> Mapping[str, Tensor]:
        reals = self._parts(self.batches.next())
        size = self.settings.batch_size, self.latent_dim
        prior = torch.randn(size, generator=self.latents, device=self.device)
        told = {}
        if self.critic is not None:
            told = self._update_critic(reals, self._parts(self.group.local_shard(prior)))
        return told | self._update(reals, prior)

    def _update_critic(self, reals: Sequence[Tensor], priors: Sequence[Tensor]) -> dict[str, Tensor]:
        """One update of the discriminator of latent vectors; its signals."""
        critic, objective = self.critic, self.objective
        assert critic is not None
        assert isinstance(objective, WaeAdversarial)
        with torch.no_grad(), statistics_held(self.networks):
            codes = [self._encode(real) for real in reals]

        def forward(part: int) -> Tensors:
            return critic(priors[part])[:, None], critic(codes[part])[:, None]

        def global_loss(of_prior: Tensor, of_codes: Tensor) -> Tensor:
            return objective.discriminator(of_prior[:, 0], of_codes[:, 0])

        self.d_optimizer.zero_grad(set_to_none=True)
        loss, (of_prior, of_codes), _ = self._backward(forward, global_loss, self.d_parameters)
        self.d_optimizer.step()
        return {
            "d_loss": loss,
            "d_real": of_prior.mean(),
            "d_fake": of_codes.mean(),
            "d_real_probability": of_prior.sigmoid().mean(),
            "d_fake_probability": of_codes.sigmoid().mean(),
        }

    def _update(self, reals: Sequence[Tensor], prior: Tensor) -> dict[str, Tensor]:
        """One update of encoder and generator; its signals. ``prior`` are the whole batch's draws from N(0, I)."""
        weight = self._weight()
        found: dict[str, Tensor] = {}

        def forward(part: int) -> Tensors:
            codes = self._encode(reals[part])
            decoded = self._forward(self.generator, self._shared(codes))
            errors = self.objective.errors(reals[part], decoded.to(codes.dtype))[:, None]
            if self.wasserstein is None:
                return (errors,)
            return errors, codes if self.critic is None else self.critic(codes)[:, None]

        def global_loss(errors: Tensor, outputs: Tensor | None = None) -> Tensor:
            found["reconstruction"] = loss = errors.mean()
            if self.wasserstein is None or outputs is None:
                return loss
            found["latent_penalty"] = penalty = self.wasserstein.penalty(outputs, prior)
            return loss + weight * penalty

        self.g_optimizer.zero_grad(set_to_none=True)
        with frozen(self.d_parameters):
            loss, _, _ = self._backward(forward, global_loss, self.g_parameters)
        signals = {name: value.detach() for name, value in found.items()}
        signals["penalty_weight"] = loss.new_full((), weight)  # filled in on the device: a copy would be waited for
        return {**signals, "g_loss": loss, "g_grad_norm": self._end_update()}

    def _encode(self, images: Tensor) -> Tensor:
        """Codes in single precision at least: moments and distances need it."""
        codes: Tensor = self._forward(self.encoder, images)
        return codes.to(torch.promote_types(codes.dtype, torch.float32))

    def _shared(self, codes: Tensor) -> Tensor:
        """The codes for the decoder, which passes back to the encoder a share of the error's gradient alone."""
        share = 1.0 if self.wasserstein is None else self.wasserstein.encoder_reconstruction
        return codes if share == 1.0 else codes.detach() + share * (codes - codes.detach())

    def _weight(self) -> float:
        if self.wasserstein is None:
            return 0.0
        return self.wasserstein.weight_at(self.steps // self.steps_per_epoch)

    def _trained(self) -> tuple[nn.Module, ...]:
        return (self.networks,) if self.critic is None else (self.networks, self.critic)
