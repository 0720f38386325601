"""Training of a generator together with one latent vector for each training image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from orchestrator.metrics.image_quality import mse
from orchestrator.training.fitted_prior import FittedPrior
from orchestrator.training.learner import Learner
from orchestrator.training.step_number import StepNumber

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.objectives.glo import Glo as GloObjective

_ROWS_AT_ONCE = 65_536


class Glo(Learner):
    """Bojanowski et al., arXiv 1707.05776, section 2.

    Every process holds the same table of all latent vectors. It updates those of its share of the batch and gathers
    the other updates. A step changes only the rows of its batch.
    """

    objective: GloObjective

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``Learner``."""
        super().__init__(*args, **kwargs)
        prior = self.generator
        assert isinstance(prior, FittedPrior)
        self.prior, self.network = prior, prior.made_of
        self.latent_rate = StepNumber.on(self.device)
        self.table = torch.empty(len(self.images), self.latent_dim, device=self.device)
        for rows in torch.split(self.table, _ROWS_AT_ONCE):
            rows.copy_(_into_ball(rows.normal_(generator=self.latents)))

    def prepare(self) -> None:
        """As ``Learner``; also the rate of the latent vectors."""
        super().prepare()
        # The loss is a mean over the batch: the gradient of an image's own error is ``batch_size`` times as large.
        rate = self.objective.latent_lr * self.rates.factor_at(self.steps)
        self.latent_rate.set(rate * self.settings.batch_size)

    def _update(self) -> Mapping[str, Tensor]:
        assert self.table is not None
        images, indices = self.batches.chosen()
        latents = self.table[indices].requires_grad_()
        reals, latent_parts = self._parts(images), self._parts(latents)
        squared_errors = []

        def forward(part: int) -> tuple[Tensor, ...]:
            fake = self._forward(self.network, latent_parts[part])
            fake = fake.to(torch.promote_types(fake.dtype, torch.float32))
            squared_errors.append(mse(fake.detach() / 2, reals[part] / 2))
            return (self.objective.errors(reals[part], fake)[:, None],)

        self.g_optimizer.zero_grad(set_to_none=True)
        loss, _, _ = self._backward(forward, lambda errors: errors.mean(), self.g_parameters, inputs=[latents])
        assert latents.grad is not None
        self._update_latents(indices, latents.detach(), latents.grad)
        errors = self.group.gather(torch.cat(squared_errors[: len(latent_parts)]), self.settings.batch_size)
        self._end_update()
        return {"g_loss": loss, "g_grad_norm": self._gradient_norm(), "reconstruction": errors.mean()}

    @torch.no_grad()
    def _update_latents(self, indices: Tensor, latents: Tensor, gradient: Tensor) -> None:
        """One step of these latent vectors against the gradient of each image's own error, projected into the ball."""
        assert self.table is not None
        batch = self.settings.batch_size
        moved = _into_ball(latents - self.latent_rate.tensor * gradient)
        self.table[self.group.gather(indices, batch)] = self.group.gather(moved, batch)

    def codes(self, indices: Tensor) -> Tensor:
        """The vectors that the fitted prior maps to the learned vectors of these images."""
        assert self.table is not None
        return self.prior.standardized(self.table[indices])

    def _sync_buffers(self) -> None:
        """As ``Learner``; also fit the Gaussian that samples are drawn from."""
        super()._sync_buffers()
        assert self.table is not None
        self.prior.fit(self.table)
        if self.averaged is not None:
            self.averaged.copy_buffers(self.networks)


def _into_ball(latents: Tensor) -> Tensor:
    """Vectors (n, d), with those outside the unit ball projected onto its surface."""
    lengths: Tensor = torch.linalg.vector_norm(latents, dim=1, keepdim=True)
    return latents / lengths.clamp(min=1.0)
