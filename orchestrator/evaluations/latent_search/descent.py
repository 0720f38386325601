"""Optimizers of many independent problems at once: the items of a batch never affect each other.

Items are the leading dimensions (n, k) of points and gradients (n, k, d); losses are (n, k).
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor


class Descent(Protocol):
    """An optimizer with its state."""

    def advance(self, points: Tensor, losses: Tensor, gradients: Tensor, rate: float) -> Tensor:
        """The points to evaluate next, from the losses and gradients at these points."""

    def keep(self, places: Tensor) -> None:
        """Keep only the items at ``places`` (n, fewer) of each row."""


def pick(values: Tensor, places: Tensor) -> Tensor:
    """The values (n, fewer, ...) at places (n, fewer) of each row of values (n, k, ...)."""
    index = places.view(*places.shape, *[1] * (values.dim() - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)


class Sgd:
    """Plain gradient descent."""

    def advance(self, points: Tensor, losses: Tensor, gradients: Tensor, rate: float) -> Tensor:
        """One step against the gradient."""
        return points - rate * gradients

    def keep(self, places: Tensor) -> None:
        """There is no state to keep."""


class Adam:
    """Adam, Kingma and Ba, arXiv 1412.6980, algorithm 1, with its own defaults."""

    def __init__(self, points: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.betas, self.eps, self.steps = betas, eps, 0
        self.mean, self.square = torch.zeros_like(points), torch.zeros_like(points)

    def advance(self, points: Tensor, losses: Tensor, gradients: Tensor, rate: float) -> Tensor:
        """One step with the running means of the gradient and of its square."""
        self.steps += 1
        first, second = self.betas
        self.mean = self.mean.lerp(gradients, 1 - first)
        self.square = self.square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        root = self.square.sqrt().div_(math.sqrt(1 - second**self.steps)).add_(self.eps)
        return points.addcdiv(self.mean, root, value=-rate / (1 - first**self.steps))

    def keep(self, places: Tensor) -> None:
        """Keep the moments of these items."""
        self.mean, self.square = pick(self.mean, places), pick(self.square, places)


class Lbfgs:
    """Limited-memory BFGS, one evaluation a step: Nocedal and Wright, Numerical Optimization, algorithm 7.4.

    Step lengths are found by doubling and bisection until both weak Wolfe conditions hold, which also works for
    nonsmooth losses (Lewis and Overton, Nonsmooth optimization via quasi-Newton methods, 2013, algorithm 2.6). Each
    item has its own line search. An item whose line search fails restarts along the gradient.
    """

    history, trials = 10, 25
    decrease, curvature = 1e-4, 0.9

    def __init__(self, points: Tensor) -> None:
        n, k, d = points.shape
        self.points, self.gradients, self.direction = points, torch.zeros_like(points), torch.zeros_like(points)
        self.losses = points.new_full((n, k), math.inf)
        self.slope = self.losses.new_zeros(n, k)
        self.length, self.low, self.high = (self.losses.new_full((n, k), value) for value in (0.0, 0.0, math.inf))
        self.evaluations = self.losses.new_zeros(n, k)
        self.moves, self.turns = (points.new_zeros(n, k, self.history, d) for _ in range(2))
        self.curvatures = points.new_zeros(n, k, self.history)
        """1 / (move . turn) of each remembered step; 0 where there is none."""

    def advance(self, points: Tensor, losses: Tensor, gradients: Tensor, rate: float) -> Tensor:
        """The next point of each item's line search, or the first of its next one; ``rate`` is not used."""
        # At first the last loss is infinite and the slope 0: every item accepts its start.
        lower = losses <= self.losses + self.decrease * self.length * self.slope
        flatter = (gradients * self.direction).sum(2) >= self.curvature * self.slope
        accepted = lower & flatter
        self.high = torch.where(lower, self.high, self.length)
        self.low = torch.where(lower & ~flatter, self.length, self.low)
        self.evaluations = self.evaluations + 1
        failed = ~accepted & (self.evaluations >= self.trials)
        self._remember(points, gradients, accepted, failed)
        self.losses = torch.where(accepted, losses, self.losses)
        self._turn(accepted | failed)
        return self.points + self.length[..., None] * self.direction

    def keep(self, places: Tensor) -> None:
        """Keep the state of these items."""
        for name, values in vars(self).items():
            setattr(self, name, pick(values, places))

    def _remember(self, points: Tensor, gradients: Tensor, accepted: Tensor, failed: Tensor) -> None:
        """Move accepted items, and remember their step and change of the gradient; failed items forget all steps."""
        move, turn = points - self.points, gradients - self.gradients
        along = (move * turn).sum(2)
        certain = along > torch.finfo(along.dtype).eps * move.norm(dim=2) * turn.norm(dim=2)
        new = accepted & certain & (self.length > 0)
        for name, value in (("moves", move), ("turns", turn), ("curvatures", 1 / along)):
            old = getattr(self, name)
            shape = [*new.shape, *[1] * (old.dim() - 2)]
            longer = torch.where(new.view(shape), torch.cat([old[:, :, 1:], value.unsqueeze(2)], 2), old)
            setattr(self, name, longer.masked_fill(failed.view(shape), 0))
        self.points = torch.where(accepted[..., None], points, self.points)
        self.gradients = torch.where(accepted[..., None], gradients, self.gradients)

    def _turn(self, begin: Tensor) -> None:
        """New directions and unit steps for items that ``begin`` a line search, other steps for the rest."""
        direction = self._direction()
        slope = (direction * self.gradients).sum(2)
        self.direction = torch.where(begin[..., None], direction, self.direction)
        self.slope = torch.where(begin, slope, self.slope)
        self.low, self.evaluations = self.low.masked_fill(begin, 0), self.evaluations.masked_fill(begin, 0)
        self.high = self.high.masked_fill(begin, math.inf)
        between = torch.where(self.high.isinf(), 2 * self.low, (self.low + self.high) / 2)
        self.length = torch.where(begin, 1.0, between)

    def _direction(self) -> Tensor:
        """-H g by the two-loop recursion; a step of length 1 along -g if no step is remembered."""
        direction, weights = -self.gradients, []
        for at in reversed(range(self.history)):
            weight = self.curvatures[:, :, at] * (self.moves[:, :, at] * direction).sum(2)
            direction = direction - weight[..., None] * self.turns[:, :, at]
            weights.append(weight)
        steepest = -self.gradients / self.gradients.norm(dim=2, keepdim=True).clamp(min=1e-30)
        known = (self.curvatures[:, :, -1] > 0)[..., None]
        last = self.curvatures[:, :, -1] * self.turns[:, :, -1].square().sum(2)
        direction = torch.where(known, direction / last[..., None], steepest)
        for at, weight in enumerate(reversed(weights)):
            back = self.curvatures[:, :, at] * (self.turns[:, :, at] * direction).sum(2)
            direction = direction + (weight - back)[..., None] * self.moves[:, :, at]
        # A descent direction, except for rounding.
        uphill = (direction * self.gradients).sum(2, keepdim=True) >= 0
        return torch.where(uphill, steepest, direction)
