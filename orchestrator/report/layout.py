"""Which setting becomes a panel, a colour, a line style or a figure of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.spec.varying import names_objective
from orchestrator.text import plural

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.study import Study

PANELS, COLOURS, STYLES, GROUPS = 9, 7, 4, 4
"""As many values of a setting as can still be told apart in one picture."""


@dataclass(frozen=True)
class Axis:
    """A setting and those of its values that are drawn; ``setting`` is None when there was none left to use."""

    setting: str | None
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Layout:
    """How the cells of a study are spread over pictures; seeds are averaged, not told apart.

    ``groups`` are the settings of each separate figure, ``left_out`` says what is not drawn.
    """

    panel: Axis
    colour: Axis
    style: Axis
    groups: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


def curve_layout(study: Study, trials: pd.DataFrame) -> Layout:
    """Panels by the objective if it varies, else by the first varying setting; then colours, then line styles.

    Further settings give a figure for each combination that was run. ``trials`` are those to draw.
    """
    columns = sorted(study.factors, key=lambda column: not names_objective(trials, column))
    left_out: list[str] = []
    axes = []
    for position, cap in enumerate((PANELS, COLOURS, STYLES)):
        if position >= len(columns):
            axes.append(Axis(None, (None,)))
            continue
        column = columns[position]
        values = study.levels(column, trials)
        axes.append(Axis(column, tuple(values[:cap])))
        if len(values) > cap:
            left_out.append(
                f"{study.name(column)}: the first {cap} of {len(values)} values are drawn, up to {values[cap - 1]}"
            )
    further = columns[3:]
    run = set(zip(*(trials[column] for column in further), strict=True)) if further else {()}
    groups = [dict(zip(further, key, strict=True)) for key in study.ordered(run, further, trials)]
    if len(groups) > GROUPS:
        left_out.append(
            f"{plural(len(groups) - GROUPS, 'combination')} of "
            f"{', '.join(study.name(column) for column in further)}: drawn are the first {GROUPS} of {len(groups)}, "
            f"up to {study.describe(groups[GROUPS - 1])}"
        )
    return Layout(axes[0], axes[1], axes[2], tuple(groups[:GROUPS]), tuple(left_out))
