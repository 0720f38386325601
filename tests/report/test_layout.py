from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from orchestrator.report.layout import COLOURS, GROUPS, PANELS, STYLES, curve_layout
from orchestrator.spec.grid import read_axes
from orchestrator.study import Study


def layout_of(axes: dict[str, list[Any]]) -> Any:
    rows = list(itertools.product(*axes.values()))
    trials = pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in zip(axes, zip(*rows, strict=True), strict=True)}
    )
    study = Study(None, trials, axes=read_axes(axes, "job.yaml"))  # type: ignore[arg-type]
    return curve_layout(study, trials)


def test_objective_is_the_panel_wherever_it_stands() -> None:
    found = layout_of({"training.d_steps": [1, 2], "objective.kind": ["a", "b"], "training.seed": [0, 1]})
    assert (found.panel.setting, found.panel.values) == ("objective.kind", ("a", "b"))
    assert (found.colour.setting, found.colour.values) == ("training.d_steps", (1, 2))
    assert found.style.setting is None
    assert found.groups == ({},)
    assert found.left_out == ()


def test_without_an_objective_the_first_setting_is_the_panel() -> None:
    assert layout_of({"model.width": [8, 16], "training.lr": [1, 2]}).panel.setting == "model.width"


def test_nothing_varies_but_the_seed() -> None:
    found = layout_of({"training.seed": [0, 1]})
    assert (found.panel.setting, found.panel.values, found.groups) == (None, (None,), ({},))


def test_third_setting_is_the_line_style_and_the_fourth_makes_figures() -> None:
    found = layout_of(
        {"objective.kind": ["a", "b"], "training.d": [1, 2], "training.lr": [1, 2], "model.width": [8, 16]}
    )
    assert found.style.setting == "training.lr"
    assert found.groups == ({"model.width": 8}, {"model.width": 16})


def test_what_is_too_much_is_left_out_and_said() -> None:
    counts = {"a": 12, "b": 9, "c": 9, "d": 9}
    found = layout_of({f"training.{name}": list(range(count)) for name, count in counts.items()})
    assert [len(axis.values) for axis in (found.panel, found.colour, found.style)] == [PANELS, COLOURS, STYLES]
    assert len(found.groups) == GROUPS
    assert found.left_out == (
        "a: the first 9 of 12 values are drawn, up to 8",
        "b: the first 7 of 9 values are drawn, up to 6",
        "c: the first 4 of 9 values are drawn, up to 3",
        "5 combinations of d: drawn are the first 4 of 9, up to d = 3",
    )


def test_only_combinations_that_were_run_make_figures() -> None:
    columns = {f"training.{name}": [1, 2] for name in "abcde"}
    trials = pd.DataFrame(columns, dtype=object)
    found = curve_layout(Study(None, trials, axes=read_axes(columns, "job.yaml")), trials)  # type: ignore[arg-type]
    assert found.groups == ({"training.d": 1, "training.e": 1}, {"training.d": 2, "training.e": 2})
