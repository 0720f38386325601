"""Gradient penalties: on the norm of a score's gradient in its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from orchestrator.distributed.group import Group
    from orchestrator.objectives.adversarial import Penalty
    from orchestrator.training.settings import TrainingSettings


def between(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Interpolated images (n, c, h, w): (1 - share) fake + share real, for ``share`` (n,) in [0, 1].

    Gulrajani et al., arXiv 1704.00028, algorithm 1: one share for each image, not one for the batch.
    """
    return torch.lerp(fake.to(real.dtype), real, share.to(real.dtype).view(-1, 1, 1, 1))


def gradient_penalty(score: Callable[[Tensor], Tensor], images: Tensor, penalty: Penalty) -> Tensor:
    """The penalty weight * (norm - target)^2 of each image (n,), with a graph to the parameters behind ``score``.

    ``score`` returns (n,). The norm is that of the gradient of an image's own score in all its pixels: scores must not
    depend on other images.
    """
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    if penalty.target == 0.0:  # without the root, whose derivative is infinite at 0
        return penalty.weight * gradient.square().flatten(1).sum(1)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return penalty.weight * (norms - penalty.target).square()


class Penalties:
    """An objective's penalties in the discriminator's updates: each process computes those of its own images.

    ``noise`` is the same on every process: the shares of the interpolated images are drawn from it.
    """

    def __init__(
        self, penalties: Sequence[Penalty], settings: TrainingSettings, group: Group, noise: torch.Generator
    ) -> None:
        self.penalties, self.settings, self.group, self.noise = penalties, settings, group, noise

    def add(
        self,
        score: Callable[[Tensor], Tensor],
        reals: Sequence[Tensor],
        fakes: Sequence[Tensor],
        parameters: Sequence[Tensor],
    ) -> Sequence[Tensor]:
        """Add the penalties' gradients, of this process's images, to those of the ``parameters`` behind ``score``.

        Images (n, c, h, w) come in parts. Returns each penalty of each image (n,), for ``metrics``.
        """
        values = []
        for penalty in self.penalties:
            shares = self._shares(penalty)
            parts = zip(reals, fakes, shares, strict=True)
            values.append(torch.cat([self._backward(penalty, score, parameters, *part) for part in parts]))
        return values

    def metrics(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """The mean over all processes' images of the penalties' sum, if there are penalties."""
        if not values:
            return {}
        return {"d_penalty": self.group.gather(torch.stack(tuple(values), 1), self.settings.batch_size).sum(1).mean()}

    def _shares(self, penalty: Penalty) -> Sequence[Tensor | None]:
        """The shares of the interpolated images, drawn for the whole batch; None for penalties at other images."""
        parts = self.settings.accumulate
        if penalty.at != "between":
            return [None] * parts
        shares = torch.rand(self.settings.batch_size, generator=self.noise, device=self.noise.device)
        return torch.tensor_split(self.group.local_shard(shares), parts)

    def _backward(
        self,
        penalty: Penalty,
        score: Callable[[Tensor], Tensor],
        parameters: Sequence[Tensor],
        real: Tensor,
        fake: Tensor,
        share: Tensor | None,
    ) -> Tensor:
        """The penalty of each image of a part (n,); also adds its gradient to that of the parameters."""
        ends = fake.to(real.dtype) if penalty.at == "fake" else real  # those of autocast are not of single precision
        images = ends if share is None else between(real, fake, share)
        # Second derivatives in bf16 would be noise.
        with torch.autocast(images.device.type, enabled=False):
            values = gradient_penalty(score, images, penalty)
            # The parameters are named, so that no gradient is computed in the images.
            torch.autograd.backward(values.sum() / self.settings.batch_size, inputs=parameters)
        return values.detach()
