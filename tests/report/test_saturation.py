"""How the losses of a saturation study scale the generator's gradient, against pandas and the scores themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.blocks import Items
from orchestrator.report.saturation import agreement, gradient_rows, rejected_from_step
from orchestrator.report.sections.gradient import build
from orchestrator.study import load_study


@pytest.mark.parametrize(
    ("probability", "step"),
    [
        ([0.5] * 10, None),
        ([1e-4] * 10, 100),
        ([0.5] * 4 + [1e-4] * 6, 500),
        ([0.5, 1e-4, 1e-4, 0.5] + [1e-4] * 6, 500),
        ([0.5] * 9 + [1e-4], 1000),  # a tenth of the run, which is just enough
        ([1e-4] * 9 + [0.5], None),
        ([0.5] * 4 + [math.nan] + [1e-4] * 5, 600),
        ([1e-3] * 10, None),  # the threshold itself is not below it
        ([], None),
    ],
)
def test_rejected_from_step(probability: list[float], step: int | None) -> None:
    assert rejected_from_step([100 * (i + 1) for i in range(len(probability))], probability) == step


def test_too_short_a_stretch_at_the_end_is_not_for_good() -> None:
    assert rejected_from_step(range(1, 101), [0.5] * 91 + [1e-4] * 9) is None
    assert rejected_from_step(range(1, 101), [0.5] * 90 + [1e-4] * 10) == 91


def test_gradient_rows_equal_a_plain_groupby(study: Any, a1_grid: dict[str, list[Any]]) -> None:
    study.job(a1_grid)
    study.grid(a1_grid, samples=())
    study.trial({"objective.kind": "saturating", "training.seed": 7}, status="failed", d_fake_probability=0.5)
    rows = gradient_rows(load_study(study.store))

    root = f"{study.store.uri}/trials"
    plain = pd.read_parquet(root)
    plain = plain[plain["status"] == "finished"]
    by = plain.groupby(["objective.kind", "training.d_steps"])
    expected = by.agg(
        fake=("d_fake_probability", "mean"),
        low=("d_fake_probability", "min"),
        high=("d_fake_probability", "max"),
        measured=("g_score_gradient", "mean"),
        norm=("g_grad_norm", "mean"),
        seeds=("trial_id", "count"),
    )
    assert len(rows) == len(expected) == 9
    for row in rows:
        want = expected.loc[(row.values[0], int(row.values[1]))]
        assert row.seeds == want["seeds"] == 3
        assert (row.fake.mean, row.fake.low, row.fake.high) == pytest.approx((want["fake"], want["low"], want["high"]))
        assert row.remainder.mean == pytest.approx(1 - want["fake"])
        assert row.measured.mean == pytest.approx(want["measured"])
        assert row.norm.mean == pytest.approx(want["norm"])
        if row.values[0] == "least_squares":
            assert row.theory is None
        else:
            assert row.theory.mean == pytest.approx(want["measured"])  # the study's scores obey the theory


def test_the_study_freezes_where_its_own_scores_say_so(study: Any) -> None:
    trial = study.trial({"objective.kind": "saturating", "training.d_steps": 3}, samples=())
    (row,) = gradient_rows(load_study(study.store))
    scores = np.array([point["d_fake"] for point in study.curves])
    assert row.values[1] == "3"
    (step,) = row.rejected_from
    below = scores < np.log(1e-3 / (1 - 1e-3))  # sigma(F) < 1e-3, told by the raw score
    index = step // study.every - 1
    assert below[index:].all()
    assert not below[index - 1]
    assert study.curves[0]["trial_id"] == trial


def test_agreement_is_the_greatest_relative_difference() -> None:
    trials = pd.DataFrame(
        {
            "status": ["finished", "finished", "finished", "finished", "failed"],
            "objective.kind": ["saturating", "saturating", "non_saturating", "least_squares", "saturating"],
            "d_fake_probability": [0.1, 0.2, 0.1, 0.5, 0.5],
            "g_score_gradient": [0.1, 0.2, 0.9 * 1.01, 7.0, 7.0],
        }
    )
    fit = agreement(trials)
    assert fit is not None
    assert fit.trials == 3
    assert fit.relative == pytest.approx(0.01)
    assert agreement(trials[trials["objective.kind"] == "least_squares"]) is None


def test_agreement_where_theory_says_zero() -> None:
    trials = pd.DataFrame(
        {
            "status": ["finished"],
            "objective.kind": ["saturating"],
            "d_fake_probability": [0.0],
            "g_score_gradient": [0.25],
        }
    )
    assert agreement(trials).relative == 0.25


def test_models_without_a_discriminator_of_images_have_no_row_of_the_gradient_in_a_score(study: Any) -> None:
    kinds = ["saturating", "non_saturating", "wae_adversarial", "autoencoder"]
    study.grid({"objective.kind": kinds}, samples=())
    study.job({"objective.kind": kinds})
    rows = gradient_rows(load_study(study.store))
    assert [row.values[0] for row in rows] == ["saturating", "non_saturating"]


@pytest.mark.parametrize(
    ("factor", "optimizer", "said", "adam"),
    [
        (1.0, "adam", "is exactly what theory says in 2 trials", True),
        (1.0001, "sgd", "agrees with theory: the greatest relative difference in 2 trials is 1.0e-04.", False),
        (1.02, "adam", "DOES NOT agree with theory: the greatest relative difference in 2 trials is 2.0e-02.", True),
    ],
)
def test_the_notes_say_what_the_table_does_not(
    study: Any, factor: float, optimizer: str, said: str, adam: bool
) -> None:
    grid = {"objective.kind": ["saturating", "non_saturating"]}
    study.job(grid)
    for kind, gradient in (("saturating", 0.25), ("non_saturating", 0.75)):
        study.trial(
            {"objective.kind": kind, "training.g_optimizer.kind": optimizer},
            d_fake_probability=0.25,
            g_score_gradient=gradient * factor,
        )
    section = build(load_study(study.store))
    assert section is not None
    (notes,) = (block.items for block in section.blocks if isinstance(block, Items))
    assert said in notes[0]
    assert any("Adam" in note for note in notes) == adam
    assert "not how good its images are" in notes[-1]


def test_without_a_trial_that_has_ended_there_is_no_section(study: Any) -> None:
    grid = {"objective.kind": ["saturating", "non_saturating"]}
    study.job(grid)
    study.grid(grid, status="failed", samples=())
    assert build(load_study(study.store)) is None
