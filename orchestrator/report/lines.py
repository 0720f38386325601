"""From the rows of several runs to lines with bands over the step. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

POINTS = 300
"""Longer curves are averaged into this many stretches of equal length: more than a panel has room for."""


@dataclass(frozen=True)
class Runs:
    """The curves of a cell's seeds, the conditions they met as (condition, step), and targets by their setting."""

    seeds: Sequence[pd.DataFrame]
    marks: Sequence[tuple[str, float]] = ()
    targets: Mapping[str, float] = field(default_factory=dict)
    _has: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def has(self, column: str) -> bool:
        """Whether any of the curves has a finite value of this column: asked often, looked up once."""
        if column not in self._has:
            self._has[column] = any(np.isfinite(_numbers(seed[column])).any() for seed in self.seeds)
        return self._has[column]

    @cached_property
    def furthest(self) -> float:
        """The last step of all curves; 1 without any."""
        return max((float(seed["step"].max()) for seed in self.seeds if len(seed)), default=1.0)

    @cached_property
    def longest(self) -> int:
        """The most steps that one of the curves has."""
        return max((seed["step"].nunique() for seed in self.seeds), default=0)


def band(curves: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean, least and greatest value of ``column`` over the curves at each step; columns step, mean, low, high.

    Each curve has ``step`` and ``column``; values that are not finite are left out.
    """
    steps = np.concatenate([curve["step"].to_numpy() for curve in curves])
    values = np.concatenate([_numbers(curve[column]) for curve in curves])
    runs = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    runs, steps, values = (part[np.isfinite(values)] for part in (runs, steps, values))
    if len(np.unique(steps)) > POINTS:
        last = float(steps.max())
        steps = np.ceil(steps.astype(float) * POINTS / last) * last / POINTS
        order, starts, counts = _stretches(runs, steps)
        steps, values = steps[order][starts], np.add.reduceat(values[order], starts) / counts
    if not len(values):
        return pd.DataFrame({"step": steps, "mean": values, "low": values, "high": values})
    order, starts, counts = _stretches(steps)
    steps, values = steps[order], values[order]
    low, high = (least.reduceat(values, starts) for least in (np.minimum, np.maximum))
    return pd.DataFrame(
        {"step": steps[starts], "mean": np.add.reduceat(values, starts) / counts, "low": low, "high": high}
    )


def _stretches(*keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The order in which equal keys stand together, where each stretch of them begins, and how long it is."""
    order = np.lexsort(keys[::-1])
    new = np.zeros(len(order), dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    starts = np.flatnonzero(new)
    return order, starts, np.diff(np.append(starts, len(order)))


def _numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    return values.to_numpy(dtype=float, na_value=np.nan)
