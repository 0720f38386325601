"""Checks that trials can be trained and evaluated with the present data, whatever the devices."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.spec.claim_checks import unanswered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.data import Dataset, Split
    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.job import Job, Trial


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


def without_optuna(job: Job) -> str | None:
    """Why this installation cannot propose trials; None where it can."""
    if job.space is None or find_spec("optuna") is not None:
        return None
    return f"{job.source}: search.algorithm: tpe takes the package Optuna; install with: pip install 'gan-orch[search]'"


def without_value(job: Job) -> Iterator[str]:
    """A line for each claim of a job that the images that are there are too few for.

    What settings alone tell of the number of images, the job has told already.
    """

    @cache
    def count(data: Dataset, split: Split) -> int | None:
        if split == "test":
            return data.known_images(split)
        try:
            return data.size
        except DataError:  # ``find_problem`` names it
            return None

    settings = [trial.settings for trial in job.trials]
    for claim in job.header.claims:
        if problem := unanswered(claim, settings, job.header.evaluate, count):
            yield f"claim {claim.id} will be undecided: {problem[1]}"
