"""The curves of a study with their words: a figure for each topic that was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.report import text
from orchestrator.report.figures import BANDS, POINTS, SIGNS, Cell, Quantity, curves, lines_of
from orchestrator.report.layout import Layout, curve_layout
from orchestrator.report.topics import GAMMA, TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.figures import Key
    from orchestrator.report.results import Results


BUDGET = 4_000_000
"""Bytes of PNG that further groups of settings must fit into; the first one is drawn in any case."""


@dataclass(frozen=True)
class Drawing:
    """A figure as PNG: ``wide`` with its panels side by side, ``narrow`` with all of them in one column."""

    name: str
    title: str
    alt: str
    caption: str
    wide: bytes
    narrow: bytes


@dataclass(frozen=True)
class Curves:
    """The drawn figures, and what they leave out."""

    drawings: tuple[Drawing, ...]
    left_out: tuple[str, ...]


def draw_curves(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Curves:
    """Draw each topic for each group of settings that measured it; nothing when no trial has a row and curves."""
    runs = dict(tuple(results.metrics.groupby("trial_id")))
    measured = results.trials[results.trials["trial_id"].isin(list(runs))]
    if measured.empty:
        return Curves((), ())
    layout = curve_layout(measured, varying, results.job, names)
    drawings: list[Drawing] = []
    left_out = list(layout.left_out)
    for number, group in enumerate(layout.groups, start=1):
        where = text.described(group, names)
        size = sum(len(drawing.wide) + len(drawing.narrow) for drawing in drawings)
        if number > 1 and size * number / (number - 1) > BUDGET:  # as if it were as large as those before
            left_out.append(f"{where}: no room is left on this page")
            continue
        cells = _cells(measured, layout, group, runs)
        for topic in TOPICS:
            drawing = _draw(topic, cells, layout, names, where)
            if drawing:
                drawings.append(drawing if number == 1 else replace(drawing, name=f"{drawing.name}-{number}"))
    return Curves(tuple(drawings), tuple(left_out))


def _draw(
    topic: Topic, cells: Mapping[Key, Cell], layout: Layout, names: Mapping[str, str], where: str
) -> Drawing | None:
    """The topic's quantities that some cell has, in panels that have some of them; None when there are none."""
    quantities = [one for one in topic.quantities if any(cell.has(one.column) for cell in cells.values())]
    filled = {key: cell for key, cell in cells.items() if any(cell.has(one.column) for one in quantities)}
    if not filled:
        return None
    panels = tuple(value for value in layout.panel.values if any(key[0] == value for key in filled))
    fitted = replace(layout, panel=replace(layout.panel, values=panels))
    return Drawing(
        topic.name,
        f"{topic.title}, {where}" if where else topic.title,
        _alt(quantities, filled, fitted, names, where),
        f"{topic.shows} {_seeds(filled)}",
        curves(filled, fitted, names, quantities),
        curves(filled, fitted, names, quantities, stacked=True),
    )


def _cells(
    trials: pd.DataFrame, layout: Layout, group: Mapping[str, Any], runs: Mapping[Any, pd.DataFrame]
) -> dict[Key, Cell]:
    """The curves of each (panel, colour, style) cell of a group, one a seed."""
    axes = (layout.panel, layout.colour, layout.style)
    for column, values in [*((column, {value}) for column, value in group.items()),
                           *((axis.setting, set(axis.values)) for axis in axes if axis.setting)]:  # fmt: skip
        trials = trials[[own in values for own in trials[column]]]
    by = [trials[axis.setting].tolist() if axis.setting else [None] * len(trials) for axis in axes]
    places: dict[Key, list[int]] = {}
    for position, key in enumerate(zip(*by, strict=True)):
        places.setdefault(key, []).append(position)
    kept = trials[["trial_id", *(f"{sign}_at" for sign in SIGNS), *([GAMMA] if GAMMA in trials else [])]]
    return {key: _cell(kept.iloc[positions], runs) for key, positions in places.items()}


def _cell(trials: pd.DataFrame, runs: Mapping[Any, pd.DataFrame]) -> Cell:
    marks = [(sign, float(step)) for sign in SIGNS for step in trials[f"{sign}_at"].dropna()]
    gammas = set(trials[GAMMA].dropna()) if GAMMA in trials else set()
    targets = {GAMMA: float(gammas.pop())} if len(gammas) == 1 else {}
    return Cell([runs[trial] for trial in trials["trial_id"]], marks, targets)


def _alt(
    quantities: Sequence[Quantity], cells: Mapping[Key, Cell], layout: Layout, names: Mapping[str, str], where: str
) -> str:
    words = [f"{text.listing(_spoken(quantity) for quantity in quantities)} against the training step"]
    roles = ("a panel", "a colour", "a line style")
    for part, (axis, role) in enumerate(zip((layout.panel, layout.colour, layout.style), roles, strict=True)):
        if axis.setting:
            drawn = {key[part] for key in cells}
            values = text.listing(text.setting(value) for value in axis.values if value in drawn)
            words.append(f"{role} for each {names[axis.setting]} ({values})")
    signs = [sign for sign in SIGNS if any(sign == own for cell in cells.values() for own, _ in cell.marks)]
    words += [f"marks where runs were {text.listing(signs)}"] if signs else []
    return "; ".join([*words, where] if where else words) + ". The last values are in the trials table."


def _spoken(quantity: Quantity) -> str:
    return "mean |∂L_G/∂F|" if "$" in quantity.label else quantity.label


def _seeds(cells: Mapping[Key, Cell]) -> str:
    most = max((len(cell.seeds) for cell in cells.values()), default=0)
    told = "One trial a line." if most <= 1 else "Line: mean over seeds; band: from the least seed to the greatest."
    if most > 1 and max(lines_of(cells, panel) for panel in {key[0] for key in cells}) > BANDS:
        told += f" Panels of more than {BANDS} lines are without bands."
    longest = max((cell.longest for cell in cells.values()), default=0)
    if longest > POINTS:
        told += f" Points are means over a {POINTS}th of the run."
    if any(cell.marks for cell in cells.values()):
        told += " A tick from below marks the step at which a run froze."
    return told
