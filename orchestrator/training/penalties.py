"""Penalties on the gradient of a score in its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from orchestrator.objectives.objective import Penalty


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
