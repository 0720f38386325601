"""From rows to summaries: which settings vary, what the trials' measures come to. Pure functions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.report.results import D_STEPS, OBJECTIVE, SEED, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

REJECTED = 1e-3
"""Below this mean sigma(F) the discriminator rejects every sample (the threshold of the saturation signal)."""

FAIR_SHARE = 0.1
"""Share of a run's steps that sigma(F) must stay below REJECTED, up to the end, to be called so for good."""


@dataclass(frozen=True)
class Spread:
    """A measure over the ``count`` seeds of one cell: arithmetic mean, least and greatest value."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """The spread of the finite values; None when there are none."""
        finite = [float(value) for value in values if np.isfinite(value)]
        return cls(float(np.mean(finite)), min(finite), max(finite), len(finite)) if finite else None


@dataclass(frozen=True)
class GradientRow:
    """How one cell of the grid scales the generator's gradient, over the last epoch of each seed's trial.

    ``fake`` is the mean of sigma(F), ``remainder`` 1 - sigma(F), ``measured`` the mean of |dL_G/dF|, ``theory``
    what sigma(F) predicts for it (None where it predicts nothing), ``norm`` the norm of the generator's
    parameter gradient. ``rejected_from`` has one entry a seed with curves: the step of ``rejected_from_step``.
    """

    settings: dict[str, Any]
    seeds: int
    fake: Spread | None
    remainder: Spread | None
    measured: Spread | None
    theory: Spread | None
    norm: Spread | None
    rejected_from: tuple[int | None, ...]


def varying_settings(trials: pd.DataFrame, axes: Sequence[Sequence[str]]) -> list[str]:
    """The settings in which trials differ: objective first, then in the grid's order, then others, seed last.

    ``axes`` are the grid's, see ``grid_axes``. A setting that only follows another one (an objective's own
    target; the second of two rates that the grid links) is left out.
    """
    dotted = [column for column in trials.columns if "." in column]
    present = [[path for path in axis if path in dotted] for axis in axes]
    free = {axis[0] for axis in present if axis}
    listed = [path for axis in present for path in axis]
    listed += sorted(set(dotted) - set(listed))
    listed.sort(key=lambda path: (path == SEED, path != OBJECTIVE))
    kept: list[str] = []
    for column in listed:
        if len(set(trials[column])) < 2:
            continue
        if column in free or not any(_follows(trials, column, other) for other in kept):
            kept.append(column)
    return kept


def _follows(trials: pd.DataFrame, column: str, other: str) -> bool:
    return len(set(zip(trials[other], trials[column], strict=True))) == len(set(trials[other]))


def levels(trials: pd.DataFrame, column: str, job: dict[str, Any]) -> list[Any]:
    """The values of a setting: numbers in ascending order, names in the order of the job file's grid."""
    values = set(trials[column])
    numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    others = sorted((v for v in values if v not in set(numbers)), key=lambda v: (v is None, str(v)))
    if numbers:
        return [*numbers, *others]
    grid = job.get("grid")
    listed = grid.get(column) if isinstance(grid, dict) else None
    order = [value for value in map(plain, listed) if value in values] if isinstance(listed, list) else []
    return [*order, *(value for value in others if value not in order)]


def by_setting(
    trials: pd.DataFrame, columns: Sequence[str], job: dict[str, Any]
) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The trials in groups of equal ``columns``, in the order of their levels; empty groups are left out."""
    rows: dict[tuple[Any, ...], list[int]] = {}
    for position, key in enumerate(zip(*(trials[column] for column in columns), strict=True)):
        rows.setdefault(key, []).append(position)
    if not columns:
        return [({}, trials)] if len(trials) else []
    product = itertools.product(*(levels(trials, column, job) for column in columns))
    return [(dict(zip(columns, key, strict=True)), trials.iloc[rows[key]]) for key in product if key in rows]


def rejected_from_step(steps: Sequence[int], probability: Sequence[float]) -> int | None:
    """The first logged step from which mean sigma(F) stays below REJECTED up to the end of the run.

    ``steps`` ascend. None ("never") when it is above at the end, or when the stretch is shorter than FAIR_SHARE
    of the run; a window without a number counts as above.
    """
    below = np.asarray(probability, dtype=float) < REJECTED
    above = np.flatnonzero(~below)
    first = int(above[-1]) + 1 if len(above) else 0
    if first >= len(below):
        return None
    begin = steps[first - 1] if first else 0
    return int(steps[first]) if steps[-1] - begin >= FAIR_SHARE * steps[-1] else None


def theory(objective: object, probability: pd.Series[float]) -> pd.Series[float] | None:
    """What the mean of |dL_G/dF| must be, given the mean of sigma(F); None where that does not determine it.

    Saturating: L_G = -softplus(F), so |dL_G/dF| = sigma(F). Non-saturating: L_G = softplus(-F), so
    |dL_G/dF| = 1 - sigma(F). Both are linear in sigma(F), hence hold for the means over any batch.
    """
    if objective == "saturating":
        return probability
    return 1 - probability if objective == "non_saturating" else None


def is_saturation_study(trials: pd.DataFrame) -> bool:
    """Whether the trials compare the saturating with the non-saturating generator loss."""
    return OBJECTIVE in trials and {"saturating", "non_saturating"} <= set(trials[OBJECTIVE])


def gradient_rows(
    trials: pd.DataFrame, metrics: pd.DataFrame, varying: Sequence[str], job: dict[str, Any]
) -> list[GradientRow]:
    """One row for each cell of the finished ``trials``; seeds are averaged. Other trials are left out."""
    by = [OBJECTIVE, *(column for column in varying if column not in (OBJECTIVE, SEED))]
    if D_STEPS in trials and D_STEPS not in by:
        by.insert(1, D_STEPS)
    finished = trials[trials["status"] == "finished"]
    curves = dict(tuple(metrics.groupby("trial_id")))
    rows = []
    for settings, cell in by_setting(finished, by, job):
        fake = cell["d_fake_probability"]
        predicted = theory(settings[OBJECTIVE], fake)
        logged = [curves[trial] for trial in cell["trial_id"] if trial in curves]
        rows.append(
            GradientRow(
                settings=settings,
                seeds=len(cell),
                fake=Spread.of(fake),
                remainder=Spread.of(1 - fake),
                measured=Spread.of(cell["g_score_gradient"]),
                theory=None if predicted is None else Spread.of(predicted),
                norm=Spread.of(cell["g_grad_norm"]),
                rejected_from=tuple(
                    rejected_from_step(curve["step"].tolist(), curve["d_fake_probability"].tolist()) for curve in logged
                ),
            )
        )
    return rows


@dataclass(frozen=True)
class Agreement:
    """How far measured |dL_G/dF| is from theory: the greatest relative difference of ``trials`` trials."""

    trials: int
    relative: float


def agreement(trials: pd.DataFrame) -> Agreement | None:
    """Compare measure and theory in every finished trial whose objective has one; None when there is none.

    Where theory says exactly 0 the measure itself counts as the difference.
    """
    differences: list[float] = []
    finished = trials[trials["status"] == "finished"]
    for objective, cell in finished.groupby(OBJECTIVE):
        predicted = theory(objective, cell["d_fake_probability"])
        if predicted is None:
            continue
        gap = (cell["g_score_gradient"] - predicted).abs()
        relative = gap / predicted.where(predicted > 0, 1.0)
        differences += relative[np.isfinite(relative)].tolist()
    return Agreement(len(differences), max(differences)) if differences else None
