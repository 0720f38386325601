from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.axes import grid_axes
from orchestrator.report.results import cells, load
from orchestrator.report.saturation import agreement, gradient_rows, rejected_from_step
from orchestrator.report.tables import (
    Spread,
    by_setting,
    levels,
    varying_settings,
)


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns})


def product(**axes: list[Any]) -> pd.DataFrame:
    names = [name.replace("__", ".") for name in axes]
    return table([dict(zip(names, cell, strict=True)) for cell in itertools.product(*axes.values())])


class TestVaryingSettings:
    def test_objective_first_then_the_grids_order_then_seed(self) -> None:
        trials = product(training__seed=[0, 1], training__lr=[1, 2], model__width=[8, 16], objective__kind=["a", "b"])
        axes = [["model.width"], ["training.seed"], ["training.lr"], ["objective.kind"]]
        assert varying_settings(trials, axes) == ["objective.kind", "model.width", "training.lr", "training.seed"]

    def test_a_setting_of_one_value_does_not_vary(self) -> None:
        assert varying_settings(product(a__x=[1], a__y=[1, 2]), [["a.x"], ["a.y"]]) == ["a.y"]

    def test_a_setting_that_follows_another_is_left_out(self) -> None:
        trials = table(
            [{"objective.kind": kind, "objective.target": 0.0 if kind == "ls" else None, "z.z": z}
             for kind in ("ls", "ns") for z in (1, 2)]
        )  # fmt: skip
        assert varying_settings(trials, [["objective.kind"], ["z.z"]]) == ["objective.kind", "z.z"]

    def test_linked_settings_are_one_unless_they_differ_by_themselves(self) -> None:
        linked = [["rates", "g.lr", "d.lr"]]
        together = table([{"g.lr": 1, "d.lr": 4}, {"g.lr": 2, "d.lr": 8}])
        assert varying_settings(together, linked) == ["g.lr"]
        apart = table([{"g.lr": 1, "d.lr": 4}, {"g.lr": 1, "d.lr": 8}, {"g.lr": 2, "d.lr": 4}])
        assert varying_settings(apart, linked) == ["g.lr", "d.lr"]

    def test_axes_of_the_grid_stay_even_when_few_trials_are_there(self) -> None:
        trials = table([{"objective.kind": "a", "t.d": 1}, {"objective.kind": "b", "t.d": 2}])
        assert varying_settings(trials, [["objective.kind"], ["t.d"]]) == ["objective.kind", "t.d"]


def test_grid_axes_and_cells() -> None:
    grid = {
        "t.d": [1, 2],
        "rates": [{"g.lr": 1, "d.lr": 2}, {"g.lr": 2}],
        "objective": [{"kind": "began", "gamma": 0.5}],
    }
    assert grid_axes({"grid": grid}) == [
        ["t.d"],
        ["grid.rates", "rates", "g.lr", "d.lr"],
        ["grid.objective", "objective", "objective.kind", "objective.gamma"],
    ]
    assert cells({"grid": grid}) == 4
    assert grid_axes({"grid": "nonsense"}) == []
    assert cells({"grid": "nonsense"}) is None
    assert cells({"grid": {"t.d": 3}}) is None


def test_levels_numbers_ascend_and_names_follow_the_grid() -> None:
    trials = product(a__x=[10, 9, None], objective__kind=["b", "c", "a"])
    job = {"grid": {"objective.kind": ["c", "b"], "a.x": [10, 9]}}
    assert levels(trials, "a.x", job) == [9, 10, None]
    assert levels(trials, "objective.kind", job) == ["c", "b", "a"]


def test_levels_of_a_setting_with_lists() -> None:
    trials = table([{"a.betas": "[0.5, 0.9]"}, {"a.betas": "[0.0, 0.9]"}])
    assert levels(trials, "a.betas", {"grid": {"a.betas": [[0.5, 0.9], [0.0, 0.9]]}}) == ["[0.5, 0.9]", "[0.0, 0.9]"]


def test_groups_hold_every_row_once_and_no_group_is_empty() -> None:
    trials = product(a__x=[1, 2], a__y=["p", None]).assign(row=range(4)).iloc[:3]
    groups = by_setting(trials, ["a.x", "a.y"], {})
    assert [(settings, cell["row"].tolist()) for settings, cell in groups] == [
        ({"a.x": 1, "a.y": "p"}, [0]),
        ({"a.x": 1, "a.y": None}, [1]),
        ({"a.x": 2, "a.y": "p"}, [2]),
    ]
    assert [cell["row"].tolist() for _, cell in by_setting(trials, [], {})] == [[0, 1, 2]]


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


def test_spread_leaves_out_what_is_no_number() -> None:
    assert Spread.of([1.0, math.nan, 3.0, math.inf]) == Spread(2.0, 1.0, 3.0, 2)
    assert Spread.of([math.nan]) is None


def test_gradient_rows_equal_a_plain_groupby(study: Any, a1_grid: dict[str, list[Any]]) -> None:
    study.job(a1_grid)
    study.grid(a1_grid, samples=())
    study.trial({"objective.kind": "saturating", "training.seed": 7}, status="failed", d_fake_probability=0.5)
    results = load(study.store)
    varying = varying_settings(results.trials, grid_axes(results.job))
    rows = gradient_rows(results.trials, results.metrics, varying, results.job)

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
        want = expected.loc[(row.settings["objective.kind"], row.settings["training.d_steps"])]
        assert row.seeds == want["seeds"] == 3
        assert (row.fake.mean, row.fake.low, row.fake.high) == pytest.approx((want["fake"], want["low"], want["high"]))
        assert row.remainder.mean == pytest.approx(1 - want["fake"])
        assert row.measured.mean == pytest.approx(want["measured"])
        assert row.norm.mean == pytest.approx(want["norm"])
        if row.settings["objective.kind"] == "least_squares":
            assert row.theory is None
        else:
            assert row.theory.mean == pytest.approx(want["measured"])  # the study's scores obey the theory


def test_the_study_freezes_where_its_own_scores_say_so(study: Any) -> None:
    trial = study.trial({"objective.kind": "saturating", "training.d_steps": 3}, samples=())
    results = load(study.store)
    (row,) = gradient_rows(results.trials, results.metrics, [], results.job)
    scores = np.array([point["d_fake"] for point in study.curves])
    assert row.settings["training.d_steps"] == 3
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
    results = load(study.store)
    rows = gradient_rows(results.trials, results.metrics, ["objective.kind"], {"grid": {"objective.kind": kinds}})
    assert [row.settings["objective.kind"] for row in rows] == ["saturating", "non_saturating"]
