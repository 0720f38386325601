"""Settings of the latent search for the images closest to given ones."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from orchestrator.settings import Settings
from orchestrator.store.columns import FLOAT, INT, Column

RAMP_UP, RAMP_DOWN = 0.05, 0.25
"""Shares of the steps in which the cosine schedule's rate rises and falls, as in StyleGAN2's projector."""


RESTART = Column("restart", INT, "", "number of the start, from 0")
CURVE = (
    RESTART,
    Column("step", INT, "steps", "steps done; the rows of a restart end where it was dropped"),
    Column("loss", FLOAT, "", "loss there, not the lowest seen so far; null where it is no number"),
)
"""The columns of a restart's loss curve, beside those of its image."""


class LatentSearch(Settings):
    """Gradient descent on min over z of mean over observed pixels |G(z) - x| + prior |z|^2, from several starts.

    A step is one evaluation of G and its gradient, for any optimizer. The cosine schedule is that of StyleGAN2's
    projector (Karras et al., arXiv 1912.04958); restarts and the prior are those of Bora et al., arXiv 1703.03208.
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
        """The number of an image's remaining restarts, by the step after which the others are dropped.

        k successive halvings leave one: after 1/2, 1/4, ... 1/2^k of the steps (Jamieson and Talwalkar,
        arXiv 1502.07943). The steps between two halvings cost an image about half as much as one whole restart.
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
