"""How the losses of a saturation study scale the generator's gradient, measured and by theory. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.metrics.health import REJECTED
from orchestrator.study import D_STEPS, ENDED, OBJECTIVE, Spread
from orchestrator.study.study import adversarial

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from orchestrator.study import Cells, Study

FAIR_SHARE = 0.1
"""Share of a run's steps that sigma(F) must stay below REJECTED, up to the end, to be called so for good."""


@dataclass(frozen=True)
class GradientRow:
    """How one cell of the grid scales the generator's gradient, over the last epoch of each seed's trial.

    ``values`` are its settings as a table shows them, first of all its objective. ``fake`` is the mean of sigma(F),
    ``remainder`` 1 - sigma(F), ``measured`` the mean of |dL_G/dF|, ``theory`` what sigma(F) predicts for it (None where
    it predicts nothing), ``norm`` the norm of the generator's parameter gradient. ``rejected_from`` has one entry a
    seed with curves: the step of ``rejected_from_step``.
    """

    values: tuple[str, ...]
    seeds: int
    fake: Spread | None
    remainder: Spread | None
    measured: Spread | None
    theory: Spread | None
    norm: Spread | None
    rejected_from: tuple[int | None, ...]


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


def is_saturation_study(study: Study) -> bool:
    """Whether the trials compare the saturating with the non-saturating generator loss, all else being equal."""
    return OBJECTIVE in study.varying and {"saturating", "non_saturating"} <= set(study.trials[OBJECTIVE])


def gradient_cells(study: Study) -> Cells:
    """The cells of the trials that ended as they were to, by objective, then by the discriminator's steps.

    Others are left out, and so are models that no discriminator of images trains.
    """
    by = [OBJECTIVE, *(column for column in study.factors if column != OBJECTIVE)]
    if D_STEPS in study.trials and D_STEPS not in by:
        by.insert(1, D_STEPS)
    return study.cells(study.ended[adversarial(study.ended)], by)


def gradient_rows(study: Study) -> list[GradientRow]:
    """One row for each of ``gradient_cells``; seeds are averaged."""
    curves = dict(tuple(study.metrics[["trial_id", "step", "d_fake_probability"]].groupby("trial_id")))
    rows = []
    for cell in gradient_cells(study):
        fake = cell.rows["d_fake_probability"]
        predicted = theory(cell.settings[OBJECTIVE], fake)
        logged = [curves[trial] for trial in cell.rows["trial_id"] if trial in curves]
        rows.append(
            GradientRow(
                values=cell.values,
                seeds=len(cell.rows),
                fake=Spread.of(fake),
                remainder=Spread.of(1 - fake),
                measured=Spread.of(cell.rows["g_score_gradient"]),
                theory=None if predicted is None else Spread.of(predicted),
                norm=Spread.of(cell.rows["g_grad_norm"]),
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
    """Compare measure and theory in every ended trial whose objective has one; None when there is none.

    Where theory says exactly 0 the measure itself counts as the difference.
    """
    differences: list[float] = []
    ended = trials[trials["status"].isin(ENDED)]
    for objective, cell in ended.groupby(OBJECTIVE):
        predicted = theory(objective, cell["d_fake_probability"])
        if predicted is None:
            continue
        gap = (cell["g_score_gradient"] - predicted).abs()
        relative = gap / predicted.where(predicted > 0, 1.0)
        differences += relative[np.isfinite(relative)].tolist()
    return Agreement(len(differences), max(differences)) if differences else None
