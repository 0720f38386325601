"""Schedules of both networks' learning rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field, model_validator

from orchestrator.settings import Settings
from orchestrator.training.step_number import StepNumber

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


class PlateauState(NamedTuple):
    """A metric's lowest mean over an epoch, the epochs since then, and the current factor of the learning rates."""

    best: float = math.inf
    epochs: int = 0
    factor: float = 1.0


class Schedule(Settings):
    """Both learning rates fall with the steps (``linear``, ``cosine``) or when a metric stops falling (``plateau``).

    WGAN-GP decays linearly to 0, arXiv 1704.00028; BEGAN halves the rates when M_global stalls, arXiv 1703.10717.
    """

    kind: Literal["constant", "linear", "cosine", "plateau"] = "constant"
    """course of both learning rates"""
    final: float = Field(0.0, ge=0.0, le=1.0)
    """linear, cosine: share of the rates left at the end"""
    measure: str = "m_global"
    """plateau: training metric of metrics/ that is to fall"""
    patience_epochs: int = Field(5, ge=1)
    """plateau: epochs without a new lowest mean until the rates are halved"""

    @model_validator(mode="after")
    def _of_this_kind(self) -> Schedule:
        used = {"linear": {"final"}, "cosine": {"final"}, "plateau": {"measure", "patience_epochs"}}
        # A resolved job file in storage names every setting: settings of other kinds are allowed at their defaults.
        for name in ("final", "measure", "patience_epochs"):
            foreign = name not in used.get(self.kind, set())
            if foreign and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {self.kind} has none; take it out, or choose another kind")
        return self

    def factor(self, done: float) -> float:
        """Factor of both rates after a share ``done`` in [0, 1] of the trial; 1 for a plateau: see ``observe``."""
        if self.kind == "linear":
            return 1 + (self.final - 1) * done
        if self.kind == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
        return 1.0

    def observe(self, state: PlateauState, mean: float) -> PlateauState:
        """The state after an epoch with this mean of the metric: it has stalled unless it is 1 % below the lowest."""
        if mean < state.best - 0.01 * abs(state.best) or state.best == math.inf:
            return PlateauState(mean, 0, state.factor)
        if state.epochs + 1 < self.patience_epochs:
            return PlateauState(state.best, state.epochs + 1, state.factor)
        return PlateauState(state.best, 0, state.factor / 2)


class LRSchedule:
    """Sets the learning rates of optimizers over a trial of ``total_steps``, each relative to its own base rate."""

    def __init__(self, schedule: Schedule, total_steps: int) -> None:
        self.schedule, self.total_steps = schedule, total_steps
        self.optimizers: list[tuple[torch.optim.Optimizer, float, StepNumber | None]] = []
        self.plateau = PlateauState()

    def add(self, optimizer: torch.optim.Optimizer, base: float) -> None:
        """Let one more optimizer follow the schedule from its base rate on; it was built with this rate."""
        rate = optimizer.defaults["lr"]
        self.optimizers.append((optimizer, base, None if isinstance(rate, float) else StepNumber(rate, base)))

    def factor_at(self, step: int) -> float:
        """The factor of every rate at a step, counted from 0."""
        return self.plateau.factor * self.schedule.factor(min(1.0, step / max(1, self.total_steps - 1)))

    def set_for(self, step: int) -> None:
        """Set the optimizers' rates for a step, counted from 0.

        A rate that is a tensor stays the same one: an optimizer that has loaded a state has another.
        """
        factor = self.factor_at(step)
        for optimizer, base, rate in self.optimizers:
            (group,) = optimizer.param_groups
            if rate is None:
                group["lr"] = factor * base
            else:
                rate.set(factor * base)
                group["lr"] = rate.tensor

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Update the plateau's state from the means of an epoch's metrics."""
        if self.schedule.kind == "plateau":
            self.plateau = self.schedule.observe(self.plateau, means[self.schedule.measure])
