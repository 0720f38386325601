"""A study as an object: which settings vary, the order of their levels, and cells of trials."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest

from orchestrator.spec.grid import read_axes
from orchestrator.spec.varying import grid_columns, varying_settings
from orchestrator.study import Spread, Study, evenly
from orchestrator.study.study import conditions, plain


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns})


def product(**axes: list[Any]) -> pd.DataFrame:
    names = [name.replace("__", ".") for name in axes]
    return table([dict(zip(names, cell, strict=True)) for cell in itertools.product(*axes.values())])


def study_of(trials: pd.DataFrame, grid: dict[str, list[Any]] | None = None) -> Study:
    axes = read_axes(grid, "job.yaml") if grid else ()
    return Study(None, trials, axes=axes)  # type: ignore[arg-type]


class TestVaryingSettings:
    def test_objective_first_then_the_grids_order_then_seed(self) -> None:
        trials = product(training__seed=[0, 1], training__lr=[1, 2], model__width=[8, 16], objective__kind=["a", "b"])
        grid = {"model.width": [8], "training.seed": [0], "training.lr": [1], "objective.kind": ["a"]}
        study = study_of(trials, grid)
        assert study.varying == ("objective.kind", "model.width", "training.lr", "training.seed")
        assert study.factors == study.varying[:-1]
        assert study.name("training.seed") == "seed"

    def test_a_setting_of_one_value_does_not_vary(self) -> None:
        assert study_of(product(a__x=[1], a__y=[1, 2])).varying == ("a.y",)

    def test_a_setting_that_follows_another_is_left_out(self) -> None:
        trials = table(
            [{"objective.kind": kind, "objective.target": 0.0 if kind == "ls" else None, "training.z": z}
             for kind in ("ls", "ns") for z in (1, 2)]
        )  # fmt: skip
        assert study_of(trials, {"objective.kind": ["ls"], "training.z": [1]}).varying == (
            "objective.kind",
            "training.z",
        )

    def test_linked_settings_are_one_unless_they_differ_by_themselves(self) -> None:
        axes = [["rates", "g.lr", "d.lr"]]
        together = table([{"g.lr": 1, "d.lr": 4}, {"g.lr": 2, "d.lr": 8}])
        assert varying_settings(together, axes) == ["g.lr"]
        apart = table([{"g.lr": 1, "d.lr": 4}, {"g.lr": 1, "d.lr": 8}, {"g.lr": 2, "d.lr": 4}])
        assert varying_settings(apart, axes) == ["g.lr", "d.lr"]

    def test_axes_of_the_grid_stay_even_when_few_trials_are_there(self) -> None:
        trials = table([{"objective.kind": "a", "training.d": 1}, {"objective.kind": "b", "training.d": 2}])
        grid = {"objective.kind": ["a", "b"], "training.d": [1, 2]}
        assert study_of(trials, grid).varying == ("objective.kind", "training.d")


def test_the_columns_that_an_axis_may_set() -> None:
    grid = {
        "training.d": [1, 2],
        "rates": [{"training.g_lr": 1, "training.d_lr": 2}, {"training.g_lr": 2}],
        "objective": [{"kind": "began", "gamma": 0.5}],
    }
    assert [grid_columns(axis) for axis in read_axes(grid, "job.yaml")] == [
        ["training.d"],
        ["grid.rates", "rates", "training.g_lr", "training.d_lr"],
        ["grid.objective", "objective", "objective.kind", "objective.gamma"],
    ]


def test_levels_numbers_ascend_and_names_follow_the_grid() -> None:
    trials = product(training__x=[10, 9, None], objective__kind=["b", "c", "a"])
    study = study_of(trials, {"objective.kind": ["c", "b"], "training.x": [10, 9]})
    assert study.levels("training.x") == [9, 10, None]
    assert study.levels("objective.kind") == ["c", "b", "a"]
    within = study_of(trials, {"objective": [{"kind": "c"}, {"kind": "b"}]})
    assert within.levels("objective.kind") == ["c", "b", "a"]


def test_levels_of_a_setting_with_lists() -> None:
    trials = table([{"training.betas": "[0.5, 0.9]"}, {"training.betas": "[0.0, 0.9]"}])
    study = study_of(trials, {"training.betas": [[0.5, 0.9], [0.0, 0.9]]})
    assert study.levels("training.betas") == ["[0.5, 0.9]", "[0.0, 0.9]"]


def test_cells_hold_every_row_once_and_no_cell_is_empty() -> None:
    trials = product(a__x=[1, 2], a__y=["p", None]).assign(row=range(4)).iloc[:3]
    study = study_of(trials)
    cells = study.cells()
    assert (len(cells), cells.heads) == (3, ("x", "y"))
    assert [(cell.settings, cell.values, cell.title, cell.rows["row"].tolist()) for cell in cells] == [
        ({"a.x": 1, "a.y": "p"}, ("1", "p"), "x = 1, y = p", [0]),
        ({"a.x": 1, "a.y": None}, ("1", "not set"), "x = 1, y = not set", [1]),
        ({"a.x": 2, "a.y": "p"}, ("2", "p"), "x = 2, y = p", [2]),
    ]
    assert [cell.rows["row"].tolist() for cell in study.cells(by=[])] == [[0, 1, 2]]
    assert len(cells.first(2)) == 2


def test_cells_of_equal_settings_differ_in_the_seed_alone() -> None:
    cells = study_of(product(model__width=[8, 16], training__seed=[0, 1, 2])).cells()
    assert [(cell.title, cell.rows["training.seed"].tolist()) for cell in cells] == [
        ("width = 8", [0, 1, 2]),
        ("width = 16", [0, 1, 2]),
    ]


def test_no_product_of_levels_is_made() -> None:
    """Of settings drawn at random each may have as many values as there are trials."""
    trials = pd.DataFrame({f"a.{column}": [float(row * column) for row in range(300)] for column in range(1, 9)})
    cells = study_of(trials).cells(by=list(trials.columns))
    assert [cell.settings["a.1"] for cell in cells] == [float(row) for row in range(300)]


def test_spread_leaves_out_what_is_no_number() -> None:
    assert Spread.of([1.0, float("nan"), 3.0, float("inf")]) == Spread(2.0, 1.0, 3.0, 2)
    assert Spread.of([float("nan")]) is None


def test_conditions_stand_in_the_order_of_their_steps() -> None:
    none = float("nan")
    assert conditions({"saturated_at": none, "collapsed_at": none, "diverged_at": none}) == []
    met = conditions({"saturated_at": 400.0, "collapsed_at": 90.0, "diverged_at": none})
    assert met == [("collapsed", 90.0), ("saturated", 400.0)]


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), None), ([1, 2], "[1, 2]"), (True, True), ({}, "{}")])
def test_plain(value: object, shown: object) -> None:
    assert plain(value) == shown


def test_evenly() -> None:
    assert evenly(range(10), 3) == [0, 4, 9]
    assert evenly([1, 2], 3) == [1, 2]
