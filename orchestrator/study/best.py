"""The best trial of a study, by a measure that is asked for or by the one that matters in its job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from orchestrator.errors import NotFoundError, SettingsError
from orchestrator.spec.messages import did_you_mean, show
from orchestrator.study.study import COLUMNS
from orchestrator.text import more

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.study.study import Study

_NAMED = 5
"""Trials that an error names."""


class Best(NamedTuple):
    """A trial's id, and the value of the measure by which it is the best."""

    trial_id: str
    measure: str
    value: float


def best_trial(study: Study, measure: str | None = None) -> Best:
    """The trial with the best value of those that ran as told; without a ``measure`` as ``natural_best``.

    Of equal values it is the first of the grid. Raises SettingsError for a measure of which no values are the better
    ones, NotFoundError where no trial has a value, or no measure tells trials apart.
    """
    if measure is None:
        if best := natural_best(study):
            return best
        raise NotFoundError(f"{study.store.uri}: no measure says which trial is the best one; {_there(study)}")
    column = COLUMNS.get(measure)
    if column is None or column.better is None:
        allowed = [one.name for one in COLUMNS.values() if one.better]
        raise SettingsError("measure", "", f"got {show(measure)}; {did_you_mean(measure, allowed)}")
    values = _values(study, measure)
    if values.empty:
        raise NotFoundError(f"{study.store.uri}: no trial that has ended has a value of {measure}; {_there(study)}")
    return _best(study, values, column.better)


def natural_best(study: Study) -> Best | None:
    """The best trial by the first measure that tells trials apart, or None.

    That is the measure of the job's search, else FID, which says how good samples are, else the measure of the first
    claim on a column of trials/ that says which values are better, else bits per dimension. FIDs of several classifiers
    do not compare.
    """
    for measure, better in _natural(study):
        if measure not in COLUMNS or (measure == "fid" and study.ended["classifier"].nunique() > 1):
            continue
        values = _values(study, measure)
        if values.nunique() > 1:
            return _best(study, values, better)
    return None


def _natural(study: Study) -> Iterator[tuple[str, Literal["lower", "higher"]]]:
    header = study.job.header if study.job else None
    if header and header.search is not None:
        yield header.search.measure, "lower" if header.search.mode == "min" else "higher"
    yield "fid", "lower"
    if header:
        yield from ((claim.measure, claim.better) for claim in header.claims if claim.better is not None)
    yield "bits_per_dimension", "lower"


def _values(study: Study, measure: str) -> pd.Series[float]:
    """The finite values of the job's trials that ran as told; others of an earlier submission do not count."""
    trials = study.ended
    if study.planned:
        trials = trials[trials["trial_id"].isin(list(study.planned))]
    values = pd.to_numeric(trials[measure], errors="coerce").replace([np.inf, -np.inf], np.nan)
    return values.dropna()


def _best(study: Study, values: pd.Series[float], better: Literal["lower", "higher"]) -> Best:
    place = int(np.argmin(values) if better == "lower" else np.argmax(values))
    return Best(
        str(study.trials["trial_id"].loc[values.index].iloc[place]), str(values.name), float(values.iloc[place])
    )


def _there(study: Study) -> str:
    ids = [str(one) for one in study.trials["trial_id"]]
    return f"trials there: {', '.join(ids[:_NAMED])}{more(len(ids) - _NAMED)}"
