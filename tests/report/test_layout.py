from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from orchestrator.report.layout import COLOURS, GROUPS, PANELS, STYLES, curve_layout
from orchestrator.report.text import short_names


def layout_of(axes: dict[str, list[Any]]) -> Any:
    rows = list(itertools.product(*axes.values()))
    trials = pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in zip(axes, zip(*rows, strict=True), strict=True)}
    )
    return curve_layout(trials, list(axes), {}, short_names(axes))


def test_objective_is_the_panel_wherever_it_stands() -> None:
    found = layout_of({"training.d_steps": [1, 2], "objective.kind": ["a", "b"], "training.seed": [0, 1]})
    assert (found.panel.setting, found.panel.values) == ("objective.kind", ("a", "b"))
    assert (found.colour.setting, found.colour.values) == ("training.d_steps", (1, 2))
    assert found.style.setting is None
    assert found.groups == ({},)
    assert found.left_out == ()


def test_without_an_objective_the_first_setting_is_the_panel() -> None:
    assert layout_of({"m.width": [8, 16], "t.lr": [1, 2]}).panel.setting == "m.width"


def test_nothing_varies_but_the_seed() -> None:
    found = layout_of({"training.seed": [0, 1]})
    assert (found.panel.setting, found.panel.values, found.groups) == (None, (None,), ({},))


def test_third_setting_is_the_line_style_and_the_fourth_makes_figures() -> None:
    found = layout_of({"objective.kind": ["a"], "t.d": [1], "t.lr": [1, 2], "m.width": [8, 16]})
    assert found.style.setting == "t.lr"
    assert found.groups == ({"m.width": 8}, {"m.width": 16})


def test_what_is_too_much_is_left_out_and_said() -> None:
    found = layout_of({"t.a": list(range(12)), "t.b": list(range(9)), "t.c": list(range(9)), "t.d": list(range(9))})
    assert [len(axis.values) for axis in (found.panel, found.colour, found.style)] == [PANELS, COLOURS, STYLES]
    assert len(found.groups) == GROUPS
    assert found.left_out == (
        "a: the first 9 of 12 values are drawn, up to 8",
        "b: the first 7 of 9 values are drawn, up to 6",
        "c: the first 4 of 9 values are drawn, up to 3",
        "5 combinations of d: drawn are the first 4 of 9, up to d = 3",
    )


def test_only_combinations_that_were_run_make_figures() -> None:
    trials = pd.DataFrame({"t.a": [1, 2], "t.b": [1, 2], "t.c": [1, 2], "t.d": [1, 2], "t.e": [1, 2]}, dtype=object)
    found = curve_layout(trials, list(trials.columns), {}, short_names(trials.columns))
    assert found.groups == ({"t.d": 1, "t.e": 1}, {"t.d": 2, "t.e": 2})
