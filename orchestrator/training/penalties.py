"""Penalties on the gradient of a score in its image."""

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
    """Images (n, c, h, w) on the lines from generated to real ones, at ``share`` (n,) of the way.

    Gulrajani et al., arXiv 1704.00028, algorithm 1: one share for each image, not one for the batch.
    """
    return torch.lerp(fake.to(real.dtype), real, share.to(real.dtype).view(-1, 1, 1, 1))


def gradient_penalty(score: Callable[[Tensor], Tensor], images: Tensor, penalty: Penalty) -> Tensor:
    """The penalty weight * (norm - target)^2 of each image (n,), with a graph to the parameters behind ``score``.

    ``score`` gives (n,); an image's norm is that of the gradient of its own score, over all its pixels. Scores must not
    depend on other images.
    """
    images = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    if penalty.target == 0.0:  # without the root, whose own slope is infinite at 0
        return penalty.weight * slope.square().flatten(1).sum(1)
    norms: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return penalty.weight * (norms - penalty.target).square()


class Penalties:
    """An objective's penalties in the discriminator's updates: of each image alone, on the process that has it.

    ``noise`` is the same on every process, and draws where between its two images each point lies.
    """

    def __init__(
        self, penalties: Sequence[Penalty], settings: TrainingSettings, group: Group, noise: torch.Generator
    ) -> None:
        self.penalties, self.settings, self.group, self.noise = penalties, settings, group, noise

    def add(
        self, score: Callable[[Tensor], Tensor], reals: Sequence[Tensor], fakes: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Add this process's share of their gradients to those of the parameters behind ``score``.

        Images (n, c, h, w) in parts. Returns the signal: the mean over all images of the penalties' sum.
        """
        found = []
        for penalty in self.penalties:
            shares = self._shares(penalty)
            parts = [self._of(penalty, score, *part) for part in zip(reals, fakes, shares, strict=True)]
            found.append(torch.cat(parts))
        if not found:
            return {}
        return {"d_penalty": self.group.gather(torch.stack(found, 1), self.settings.batch_size).sum(1).mean()}

    def _shares(self, penalty: Penalty) -> Sequence[Tensor | None]:
        """How far between its two images each point lies, drawn for the whole batch; nothing is drawn elsewhere."""
        parts = self.settings.accumulate
        if penalty.at == "real":
            return [None] * parts
        shares = torch.rand(self.settings.batch_size, generator=self.noise, device=self.noise.device)
        return torch.tensor_split(self.group.local_shard(shares), parts)

    def _of(
        self, penalty: Penalty, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor | None
    ) -> Tensor:
        """The penalty of each image of a part (n,); its share of the gradient is added up in the parameters."""
        images = real if share is None else between(real, fake, share)
        # Second derivatives in half the digits would be noise.
        with torch.autocast(images.device.type, enabled=False):
            found = gradient_penalty(score, images, penalty)
            torch.autograd.backward(found.sum() / self.settings.batch_size)
        return found.detach()
