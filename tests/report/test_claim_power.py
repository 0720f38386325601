"""What the planned seeds of a claim can show, by the spread of the rows that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from orchestrator.report.claim_power import claims_power
from orchestrator.statistics.intervals import Design
from tests.report.claimed import FID, claim, study

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.report.claimed import Stored

NONE = {"objective.kind": "non_saturating"}


def test_without_rows_it_is_in_standard_deviations(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), claim("B", by=3), claim("C", "best_fid", than_measure="fid", than=NONE)))
    first, second, third = claims_power(study_at.store, study_at.job)
    assert first.words == "3 and 3 seeds show a difference of 3.1 standard deviations between seeds (80 % power)"
    assert " beyond the bound by 3.1 " in second.words
    assert (third.seeds.design, round(third.in_sd or 0, 2)) == (Design.PAIRED, 3.26)


def test_rows_of_the_sides_give_the_unit(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A"), claim("B", factor=2), claim("C", "saturated"), seeds=5))
    for trial in study_at.job.trials:
        kind, seed = trial.settings.objective.kind, trial.settings.training.seed
        if seed < 3:
            study_at.end(trial, fid=FID[kind][seed])
    first, second, third = claims_power(study_at.store, study_at.job)
    pooled = sum(np.var(values, ddof=1) for values in FID.values()) / 2
    assert first.spread == pytest.approx(pooled**0.5)
    assert first.effect == pytest.approx(first.in_sd * pooled**0.5)  # type: ignore[operator]
    assert first.words.endswith("by the spread of 6 earlier values")
    assert "a factor of" in second.words
    assert (third.in_sd, third.effect) == (None, pytest.approx(0.8335, abs=1e-3))


def test_rows_of_other_trials_give_it_where_the_sides_have_none(stored: Callable[..., Stored]) -> None:
    grid = {"objective.kind": [*FID, "hinge"], "training.seed": [0, 1, 2]}
    study_at = stored(study(claim("A"), grid=grid))
    for trial in study_at.job.trials:
        if trial.settings.objective.kind == "hinge":
            study_at.end(trial, fid=(1.0, 3.0, 5.0)[trial.settings.training.seed])
    (one,) = claims_power(study_at.store, study_at.job)
    assert (one.spread, one.earlier) == (2.0, 3)


def test_of_each_value_the_one_that_shows_the_least_is_told(stored: Callable[..., Stored]) -> None:
    cells = [{"objective.kind": kind, "training.seed": seed} for kind in FID for seed in range(5)]
    cells += [{"objective.kind": "hinge", "training.seed": seed} for seed in range(3)]
    each = {"objective.kind": ["saturating", "hinge"]}
    study_at = stored(study(claim("A", than={}, each=each), grid={"cell": cells}))
    (one,) = claims_power(study_at.store, study_at.job)
    assert one.words.startswith("each of 2, 5 and 3 seeds show a difference of 2.")


def test_values_far_apart_have_a_ratio_that_is_a_number(stored: Callable[..., Stored]) -> None:
    study_at = stored(study(claim("A", factor=2), seeds=2))
    for trial in study_at.job.trials:
        study_at.end(trial, fid=(1e-59, 1e59)[trial.settings.training.seed])
    (one,) = claims_power(study_at.store, study_at.job)
    assert one.effect == pytest.approx(1e100)
