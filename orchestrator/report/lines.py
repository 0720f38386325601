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
ALONG = {"epoch": "epoch", "elapsed_s": "training time in s"}
"""Columns that grow with the step, over which a curve can be drawn too, and what such an axis is called."""


@dataclass(frozen=True)
class Runs:
    """The logged rows of a cell's trials, the conditions they met as (condition, step), and targets by their setting.

    ``rows`` has ``trial_id``, ``step`` and what was measured; ``label`` names the trials and their settings.
    """

    rows: pd.DataFrame
    marks: Sequence[tuple[str, float]] = ()
    targets: Mapping[str, float] = field(default_factory=dict)
    label: str = ""
    _has: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def has(self, column: str) -> bool:
        """Whether any of the curves has a finite value of this column: asked often, looked up once."""
        if column not in self._has:
            self._has[column] = bool(np.isfinite(_numbers(self.rows[column])).any())
        return self._has[column]

    @cached_property
    def trials(self) -> int:
        """How many trials there are."""
        return int(self.rows["trial_id"].nunique())

    @cached_property
    def furthest(self) -> float:
        """The last step of all curves; 1 without any."""
        return float(self.rows["step"].max()) if len(self.rows) else 1.0

    @cached_property
    def longest(self) -> int:
        """The most steps that one of the curves has."""
        return int(self.rows.groupby("trial_id")["step"].nunique().max()) if len(self.rows) else 0

    def over(self, steps: pd.Series[Any]) -> dict[str, list[float]]:
        """What steps can be drawn over too, by the name of the axis: the mean over the curves at each of ``steps``."""
        return {words: np.interp(steps.to_numpy(dtype=float), *known).tolist() for words, known in self._along.items()}

    @cached_property
    def _along(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Steps and the means of each of ALONG that is known at all of them and ascends."""
        names = [name for name in ALONG if name in self.rows]
        means = self.rows[["step", *names]].groupby("step").mean()
        steps = means.index.to_numpy(dtype=float)
        found = {ALONG[name]: (steps, _numbers(means[name])) for name in names}
        return {words: known for words, known in found.items() if _ascends(known[1])}


def band(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, least and greatest value of ``column`` over trials at each step; columns step, mean, low, high.

    ``rows`` has ``trial_id``, ``step`` and ``column``; values that are not finite are left out.
    """
    points = pd.DataFrame(
        {
            "run": pd.factorize(rows["trial_id"])[0],
            "step": rows["step"].to_numpy(),
            "value": _numbers(rows[column]),
        }
    )
    points = points[np.isfinite(points["value"])]
    if points["step"].nunique() > POINTS:
        last = float(points["step"].max())
        points["step"] = np.ceil(points["step"] * POINTS / last) * last / POINTS
        points = points.groupby(["run", "step"], as_index=False)["value"].mean()
    if points["step"].is_unique:  # one curve, as a rule: there is nothing to average, which takes long
        single = points.sort_values("step", ignore_index=True)
        return pd.DataFrame({"step": single["step"], **dict.fromkeys(("mean", "low", "high"), single["value"])})
    over_runs: pd.DataFrame = points.groupby("step")["value"].agg(mean="mean", low="min", high="max").reset_index()
    return over_runs


def _ascends(values: NDArray[np.float64]) -> bool:
    return len(values) > 0 and bool(np.isfinite(values).all() and (np.diff(values) >= 0).all())


def _numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    return values.to_numpy(dtype=float, na_value=np.nan)
