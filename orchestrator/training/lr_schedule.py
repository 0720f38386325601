"""How the learning rates of both networks fall while a trial trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field, model_validator

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


class PlateauState(NamedTuple):
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

    @model_validator(mode="after")
    def _of_this_kind(self) -> Schedule:
        own = {"linear": {"final"}, "cosine": {"final"}, "plateau": {"measure", "patience_epochs"}}
        # A job file that was resolved and stored names every setting, those of other kinds at their defaults.
        for name in ("final", "measure", "patience_epochs"):
            foreign = name not in own.get(self.kind, set())
            if foreign and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {self.kind} has none; take it out, or choose another kind")
        return self

    def factor(self, done: float) -> float:
        """Of both rates, where a share ``done`` in [0, 1] of the trial lies behind; a plateau has its own."""
        if self.kind == "linear":
            return 1 + (self.final - 1) * done
        if self.kind == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
        return 1.0

    def observe(self, stall: PlateauState, mean: float) -> PlateauState:
        """What an epoch's mean of the measure makes of it: less than 1 % lower than the lowest counts as stalled."""
        if mean < stall.best - 0.01 * abs(stall.best) or stall.best == math.inf:
            return PlateauState(mean, 0, stall.factor)
        if stall.epochs + 1 < self.patience_epochs:
            return PlateauState(stall.best, stall.epochs + 1, stall.factor)
        return PlateauState(stall.best, 0, stall.factor / 2)


class LRSchedule:
    """The rates of some optimizers, each with the rate that was set for it, over a trial of ``total_steps``."""

    def __init__(self, schedule: Schedule, total_steps: int) -> None:
        self.schedule, self.total_steps = schedule, total_steps
        self.optimizers: list[tuple[torch.optim.Optimizer, float]] = []
        self.stall = PlateauState()

    def add(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        """Have one more follow the schedule."""
        self.optimizers.append((optimizer, rate))

    def factor_at(self, step: int) -> float:
        """Of every rate at a step, counted from 0."""
        return self.stall.factor * self.schedule.factor(min(1.0, step / max(1, self.total_steps - 1)))

    def set_for(self, step: int) -> None:
        """Give the optimizers their rates for a step, counted from 0."""
        factor = self.factor_at(step)
        for optimizer, rate in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * rate

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Hear the means of an epoch's signals, by which the rates may fall."""
        if self.schedule.kind == "plateau":
            self.stall = self.schedule.observe(self.stall, means[self.schedule.measure])
