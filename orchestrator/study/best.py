"""The trial of a study with the best value of a measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from orchestrator.errors import NotFoundError, SettingsError
from orchestrator.spec.messages import did_you_mean, show
from orchestrator.study.study import COLUMNS
from orchestrator.text import more

if TYPE_CHECKING:
    from orchestrator.study.study import Study

_NATURAL = ("fid", "bits_per_dimension")
"""Measures of what a generator makes of any latent vector, in the order in which they are asked for."""

_NAMED = 5
"""Trials that an error names."""


class Best(NamedTuple):
    """A trial's id, and the value of the measure by which it is the best."""

    trial_id: str
    measure: str
    value: float


def best_trial(study: Study, measure: str | None = None) -> Best:
    """The trial of the job with the best value, of those that ran to their end; of several the first of the grid.

    Without a ``measure`` it is that of the job's search, or else FID, or bits per dimension. Raises SettingsError for
    one without better values, NotFoundError where no trial has a value.
    """
    name, better = natural_measure(study) if measure is None else (measure, _better(measure))
    trials = study.ended
    if study.planned:  # others are of an earlier submission
        trials = trials[trials["trial_id"].isin(list(study.planned))]
    values = pd.to_numeric(trials[name]).dropna()
    if values.empty:
        raise NotFoundError(f"{study.store.uri}: no trial that has ended has a value of {name}; {_there(study)}")
    place = int(values.argmin() if better == "lower" else values.argmax())
    return Best(str(trials["trial_id"][values.index].iloc[place]), name, float(values.iloc[place]))


def natural_measure(study: Study) -> tuple[str, Literal["lower", "higher"]]:
    """The measure of the job's search, or else FID or bits per dimension, whichever a trial has; and what is better.

    Raises NotFoundError where there is none.
    """
    if study.job is not None and (search := study.job.header.search) is not None:
        return search.measure, "lower" if search.mode == "min" else "higher"
    for name in _NATURAL:
        if study.ended[name].notna().any():
            return name, _better(name)
    raise NotFoundError(f"{study.store.uri}: no trial has a FID by which to choose the best one; {_there(study)}")


def _better(measure: str) -> Literal["lower", "higher"]:
    column = COLUMNS.get(measure)
    if column is None or column.better is None:
        allowed = [one.name for one in COLUMNS.values() if one.better]
        raise SettingsError("measure", "", f"got {show(measure)}; {did_you_mean(measure, allowed)}")
    return column.better


def _there(study: Study) -> str:
    ids = [str(one) for one in study.trials["trial_id"]]
    return f"trials there: {', '.join(ids[:_NAMED])}{more(len(ids) - _NAMED)}"
