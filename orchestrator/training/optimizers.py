"""The optimizers of a job file, and how their rates fall while a trial trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

_Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Optimizer(Settings):
    """Adam, arXiv 1412.6980, or plain gradient descent; the defaults are DCGAN's, arXiv 1511.06434 section 4.

    Adam's beta2 is that of its own paper.
    """

    kind: Literal["adam", "sgd"] = "adam"
    """algorithm of the optimizer"""
    lr: float = Field(2e-4, gt=0.0, le=1.0)
    """learning rate"""
    betas: tuple[_Beta, _Beta] = Field((0.5, 0.999), strict=False)
    """adam: decay of the running means of the gradient and of its square"""
    eps: float = Field(1e-8, gt=0.0, le=1.0)
    """adam: added to the root of the mean square"""
    momentum: float = Field(0.0, ge=0.0, lt=1.0)
    """sgd: share of the last update in the next"""

    @model_validator(mode="after")
    def _of_this_kind(self) -> Optimizer:
        foreign = {"adam": {"momentum"}, "sgd": {"betas", "eps"}}[self.kind] & self.model_fields_set
        # A job file that was resolved and stored names every setting, those of the other kind at their defaults.
        for name in sorted(foreign):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {self.kind} has none; take it out, or choose another kind")
        return self

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, in torch's fused form: one kernel for all parameters on a GPU, one loop on a CPU."""
        import torch

        if self.kind == "sgd":
            return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, fused=True)
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)


class Stall(NamedTuple):
    """How long a measure has not fallen: its lowest mean of an epoch, epochs since, and the rates' factor by now."""

    best: float = math.inf
    epochs: int = 0
    factor: float = 1.0


class Schedule(Settings):
    """How both learning rates fall: with the steps (``linear``, ``cosine``), or where a measure stalls (``plateau``).

    Linear decay to 0 is WGAN-GP's, arXiv 1704.00028; halving where M_global stalls is BEGAN's, arXiv 1703.10717.
    """

    kind: Literal["constant", "linear", "cosine", "plateau"] = "constant"
    """course of both learning rates"""
    final: float = Field(0.0, ge=0.0, le=1.0)
    """linear, cosine: share of the rates left at the end"""
    measure: str = "m_global"
    """plateau: signal of metrics/ that is to fall"""
    patience_epochs: int = Field(5, ge=1)
    """plateau: epochs without a new lowest mean until the rates are halved"""

    def factor(self, done: float) -> float:
        """Of both rates, where a share ``done`` in [0, 1] of the trial lies behind; a plateau has its own."""
        if self.kind == "linear":
            return 1 + (self.final - 1) * done
        if self.kind == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
        return 1.0

    def observe(self, stall: Stall, mean: float) -> Stall:
        """What an epoch's mean of the measure makes of it: less than 1 % lower than the lowest counts as stalled."""
        if mean < 0.99 * stall.best:
            return Stall(mean, 0, stall.factor)
        if stall.epochs + 1 < self.patience_epochs:
            return Stall(stall.best, stall.epochs + 1, stall.factor)
        return Stall(stall.best, 0, stall.factor / 2)
