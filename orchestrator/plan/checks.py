"""Checks that trials can be trained and evaluated with the present data, whatever the devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.job import Trial


def find_problem(trials: Iterable[Trial], evaluations: Iterable[Evaluation]) -> str | None:
    """Why the trials or evaluations cannot be done: data that is missing or smaller than a batch, missing weights.

    None where they can; data that ``download: true`` fetches counts as present. ``validate``, ``plan``, ``submit`` and
    ``doctor`` all use this check.
    """
    for trial in trials:
        try:
            _ = trial.settings.total_steps
        except DataError as error:
            return str(error)
    return next(filter(None, (evaluation.missing_requirements() for evaluation in evaluations)), None)
