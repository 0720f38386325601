"""Training of an encoder and a generator: plain and Wasserstein autoencoders."""

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
from orchestrator.training.step_number import StepNumber

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.objectives.reconstruction import Reconstruction

    Tensors = tuple[Tensor, ...]


class Wae(Learner):
    """Encoder and generator minimise the error of decoded images and, if there is one, a penalty on the batch's codes.

    A discriminator that separates codes from draws from N(0, I), if there is one, makes one update before each of
    theirs.
    """

    objective: Reconstruction

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``Learner``."""
        super().__init__(*args, **kwargs)
        self.encoder: nn.Module = self.networks["encoder"]
        self.wasserstein = self.objective if isinstance(self.objective, WassersteinAutoencoder) else None
        self.critic = self.wasserstein.critic(self.latent_dim) if self.wasserstein is not None else None
        self.penalty_weight = StepNumber.on(self.device)
        if self.critic is not None:
            initialize(self.critic, self.weights, "orthogonal")
            self.critic.to(self.device)
            self._add_discriminator(self.critic)
            self.parts = (*self.parts, "critic", "d_optimizer")

    def prepare(self) -> None:
        """As ``Learner``; also the weight of the penalty, which grows from epoch to epoch."""
        super().prepare()
        if self.wasserstein is not None:
            self.penalty_weight.set(self.wasserstein.weight_at(self.steps // self.steps_per_epoch))

    def _update(self) -> Mapping[str, Tensor]:
        reals = self._parts(self.batches.chosen()[0])
        size = self.settings.batch_size, self.latent_dim
        prior = torch.randn(size, generator=self.latents, device=self.device)
        critic_metrics = {}
        if self.critic is not None:
            critic_metrics = self._update_critic(reals, self._parts(self.group.local_shard(prior)))
        return critic_metrics | self._update_autoencoder(reals, prior)

    def _update_critic(self, reals: Sequence[Tensor], priors: Sequence[Tensor]) -> dict[str, Tensor]:
        """One update of the discriminator of latent vectors; returns its metrics."""
        critic, objective = self.critic, self.objective
        assert critic is not None
        assert isinstance(objective, WaeAdversarial)
        with torch.no_grad(), statistics_held(self.networks):
            codes = [self._encode(real) for real in reals]

        def forward(part: int) -> Tensors:
            return critic(priors[part])[:, None], critic(codes[part])[:, None]

        def global_loss(prior_scores: Tensor, code_scores: Tensor) -> Tensor:
            return objective.discriminator(prior_scores[:, 0], code_scores[:, 0])

        self.d_optimizer.zero_grad(set_to_none=True)
        loss, (prior_scores, code_scores), _ = self._backward(forward, global_loss, self.d_parameters)
        self.d_optimizer.step()
        return {
            "d_loss": loss,
            "d_real": prior_scores.mean(),
            "d_fake": code_scores.mean(),
            "d_real_probability": prior_scores.sigmoid().mean(),
            "d_fake_probability": code_scores.sigmoid().mean(),
        }

    def _update_autoencoder(self, reals: Sequence[Tensor], prior: Tensor) -> dict[str, Tensor]:
        """One update of encoder and generator; returns its metrics.

        ``prior`` (batch, latent_dim) are the whole batch's draws from N(0, I).
        """
        loss_terms: dict[str, Tensor] = {}

        def forward(part: int) -> Tensors:
            codes = self._encode(reals[part])
            decoded = self._forward(self.generator, self._scale_gradient(codes))
            errors = self.objective.errors(reals[part], decoded.to(codes.dtype))[:, None]
            if self.wasserstein is None:
                return (errors,)
            return errors, codes if self.critic is None else self.critic(codes)[:, None]

        def global_loss(errors: Tensor, outputs: Tensor | None = None) -> Tensor:
            loss_terms["reconstruction"] = loss = errors.mean()
            if self.wasserstein is None or outputs is None:
                return loss
            loss_terms["latent_penalty"] = penalty = self.wasserstein.penalty(outputs, prior)
            return loss + self.penalty_weight.tensor.to(penalty.dtype) * penalty

        self.g_optimizer.zero_grad(set_to_none=True)
        with frozen(self.d_parameters):
            loss, _, _ = self._backward(forward, global_loss, self.g_parameters)
        metrics = {name: value.detach() for name, value in loss_terms.items()}
        self._end_update()
        return {
            **metrics,
            "penalty_weight": self.penalty_weight.tensor,
            "g_loss": loss,
            "g_grad_norm": self._gradient_norm(),
        }

    def _encode(self, images: Tensor) -> Tensor:
        """Codes in at least single precision, which moments and distances need."""
        codes: Tensor = self._forward(self.encoder, images)
        return codes.to(torch.promote_types(codes.dtype, torch.float32))

    def _scale_gradient(self, codes: Tensor) -> Tensor:
        """The same codes, through which only ``encoder_reconstruction`` times the gradient reaches the encoder."""
        share = 1.0 if self.wasserstein is None else self.wasserstein.encoder_reconstruction
        return codes if share == 1.0 else codes.detach() + share * (codes - codes.detach())

    def _trained(self) -> tuple[nn.Module, ...]:
        return (self.networks,) if self.critic is None else (self.networks, self.critic)
