"""When a trial no longer improves: a measure has had no new best value for a number of epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator

from orchestrator.settings import Settings
from orchestrator.store.columns import SAMPLE_METRICS, TRAINING_METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_IMPROVEMENT = "no_improvement"
"""In ``stop_when``, and the status of a trial that it ended."""
MEASURES = {column.name: column for column in (*TRAINING_METRICS, *SAMPLE_METRICS) if column.better}
"""What a trial may improve in: measures of which it is known whether the lower or the higher values are better."""


class Improvement(NamedTuple):
    """The best value of a trial's measure so far, its step, and whether the patience has run out since."""

    best: float | None = None
    step: int = 0
    over: bool = False


class Patience(Settings):
    """A trial no longer improves once a measure has had no new best value for so many epochs.

    This is the patience of early stopping, Goodfellow et al., Deep Learning, 2016, algorithm 7.1, counted in epochs.
    Any better value counts, however little better it is; a value that is not finite is none.
    """

    measure: str = Field("fid", json_schema_extra={"enum": [*MEASURES]})
    """measure of metrics/ that is to improve: one of training steps, or one of samples, which measure_every asks for"""
    epochs: int = Field(10, ge=1, le=1_000_000)
    """epochs without a new best value after which the trial ends, at the next row that has the measure"""

    @field_validator("measure")
    @classmethod
    def _has_a_direction(cls, measure: str) -> str:
        if measure not in MEASURES:
            raise ValueError(f"got {measure!r}, expected one of {', '.join(MEASURES)}")
        return measure

    def observe(self, state: Improvement, row: Mapping[str, Any], steps_per_epoch: int) -> Improvement:
        """The state after one more row of metrics/; a row without the measure changes nothing."""
        value, step = row.get(self.measure), int(row["step"])
        if value is None or not math.isfinite(value):
            return state
        lower = MEASURES[self.measure].better == "lower"
        if state.best is None or (value < state.best if lower else value > state.best):
            return Improvement(float(value), step, state.over)
        return state._replace(over=state.over or step - state.step >= self.epochs * steps_per_epoch)
