"""How latent vectors are sought whose images are nearest to given ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from orchestrator.evaluate.norms import Norm

RAMP_UP, RAMP_DOWN = 0.05, 0.25
"""Shares of the steps in which the cosine schedule's rate rises and falls, as in StyleGAN2's projector."""


class Targets(NamedTuple):
    """Images that latent vectors are sought for, and where they may be looked at."""

    images: Tensor
    """(n, c, h, w) in [0, 1], on the generator's device."""
    observed: Tensor
    """(n, 1, h, w) bool: the loss is a mean over these pixels, at least one of each image."""
    numbers: Sequence[int]
    """The images' numbers in their data set, from which their starts are drawn."""


class Inversions(NamedTuple):
    """What a search found, on the generator's device; r restarts of each of n images.

    A restart's loss is the mean norm over the observed pixels plus the prior's term; best is the lowest one seen.
    """

    latents: Tensor
    """(n, r, latent_dim): where each restart's loss was best."""
    losses: Tensor
    """(n, r): the best loss of each restart."""
    best: Tensor
    """(n,): the restart whose loss is best."""
    curves: Tensor
    """(n, r, points): the loss after as many steps as ``LatentSearch.points`` says; NaN once a restart is dropped."""
    dropped: Tensor
    """(n, r) int64: after how many steps a restart was dropped; 0 where it never was."""

    @property
    def chosen(self) -> Tensor:
        """(n, latent_dim): the best latent vector of each image."""
        return self.latents.take_along_dim(self.best[:, None, None], 1).squeeze(1)


class LatentSearch(Settings):
    """Gradient descent on min over z of mean over observed pixels |G(z) - x| + prior |z|^2, from several starts.

    A step is one evaluation of G and its gradient, whatever the optimizer. The rate's cosine course is that of
    StyleGAN2's projector (Karras et al., arXiv 1912.04958); restarts and the prior are those of
    Bora et al., arXiv 1703.03208.
    """

    idle: ClassVar[frozenset[str]] = frozenset({"batch"})

    steps: int = Field(500, ge=1, le=1_000_000)
    """steps from each start"""
    restarts: int = Field(5, ge=1, le=1000)
    """starts for each image; the best is kept"""
    optimizer: Literal["adam", "sgd", "lbfgs"] = "adam"
    """algorithm of the descent"""
    lr: float = Field(0.05, gt=0.0, le=10_000.0)
    """adam, sgd: learning rate"""
    schedule: Literal["constant", "cosine"] = "constant"
    """adam, sgd: course of the rate; cosine rises in the first twentieth of the steps and falls in the last quarter"""
    prior: float = Field(0.0, ge=0.0, le=1000.0)
    """weight of the squared length of a latent vector"""
    halving: bool = False
    """whether the worse half of an image's restarts is dropped at each of the last halvings of the steps"""
    log_every: int = Field(10, ge=1)
    """steps between two points of a loss curve"""
    batch: int = Field(512, ge=1)
    """latent vectors in flight, which bounds the memory; one image's restarts are never parted"""

    @model_validator(mode="after")
    def _of_this_optimizer(self) -> LatentSearch:
        for name in ("lr", "schedule"):
            if self.optimizer == "lbfgs" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: lbfgs finds its own step length; take it out, or choose another optimizer")
        return self

    @property
    def points(self) -> tuple[int, ...]:
        """Steps done at the points of a loss curve: every ``log_every`` from 0 on, and the last."""
        return tuple(sorted({*range(0, self.steps, self.log_every), self.steps}))

    @property
    def drops(self) -> dict[int, int]:
        """Restarts of an image that stay, by the steps done when the others are dropped.

        k successive halvings leave one: after 1/2, 1/4, ... 1/2^k of the steps (Jamieson and Talwalkar,
        arXiv 1502.07943). Each stretch costs an image about half as many steps as one restart to its end.
        """
        if not self.halving:
            return {}
        halvings = math.ceil(math.log2(self.restarts))
        return {
            max(1, self.steps >> (halvings - number)): -(-self.restarts // 2 ** (number + 1))
            for number in range(halvings)
        }

    def rate(self, step: int) -> float:
        """The learning rate of a step, numbered from 0."""
        if self.schedule == "constant":
            return self.lr
        done = step / self.steps
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - done) / RAMP_DOWN))
        return self.lr * falling * min(1.0, done / RAMP_UP)

    def draw_starts(self, targets: Targets, latent_dim: int, seed: int) -> Tensor:
        """Starts ~ N(0, I), (n, restarts, latent_dim): each from the seed, its image's number and its own."""
        from orchestrator.evaluate._search import draw_starts

        return draw_starts(targets, self.restarts, latent_dim, seed)

    def seek(self, generator: nn.Module, targets: Targets, starts: Tensor, norm: Norm = "l2") -> Inversions:
        """Search from ``starts`` (n, restarts, latent_dim) with a generator in eval mode, images in [-1, 1].

        An image's path depends on its own pixels and starts alone. Raises DataError naming an image that is not
        finite where observed, or not observed at all.
        """
        from orchestrator.evaluate._search import search

        return search(self, generator, targets, starts, norm)
