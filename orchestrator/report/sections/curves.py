"""The curves of a study: a figure for each topic that was measured, and the codes of models that have some."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator import text
from orchestrator.report.blocks import (
    DASHES,
    FLOOR,
    GREY,
    PALETTE,
    Chart,
    Fold,
    Items,
    Key,
    Mark,
    Panel,
    PanelRow,
    Section,
    Series,
    Text,
    spans_decades,
)
from orchestrator.report.codes import codes_chart
from orchestrator.report.latent_loss import latent_loss_chart
from orchestrator.report.layout import Layout, curve_layout
from orchestrator.report.lines import POINTS, Runs, band
from orchestrator.report.plots import MARKERS, SEEDS
from orchestrator.report.sections.trials import short_id
from orchestrator.report.topics import GAMMA, TOPICS, Quantity, Topic
from orchestrator.study import ENDS, OBJECTIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from orchestrator.report.blocks import Block
    from orchestrator.study import Study

    Place = tuple[Any, Any, Any]

ORDER = 110
FOLLOWS = "steps"
BANDS = 8
"""Lines of a panel up to which each has its band over seeds: more bands hide the lines and each other."""
NAMED = 5
"""Trials of a line that are named to who points at it."""
OPEN = 4
"""So many figures are seen at once; the others are folded away."""


def build(study: Study) -> Section:
    """What is not drawn, then the figures."""
    charts, left_out = curve_charts(study)
    if not charts:
        words = "No measurements yet: no trial has both a result and logged steps."
        return Section("curves", "Curves", "Curves", (Text(words, "missing"),))
    blocks: list[Block] = []
    if left_out:
        blocks += [Text("Not drawn, so that the figures stay readable:"), Items(tuple(left_out), "notes")]
    charts = [*filter(None, (codes_chart(study), latent_loss_chart(study))), *charts]
    blocks += charts[:OPEN]
    if rest := charts[OPEN:]:
        blocks.append(Fold(f"Further figures: {'; '.join(chart.title for chart in rest)}", tuple(rest)))
    return Section("curves", "Curves", "Curves", tuple(blocks))


def curve_charts(study: Study) -> tuple[list[Chart], list[str]]:
    """A chart of each topic for each group of settings that measured it, and what is not drawn."""
    places = study.metrics.groupby("trial_id").indices
    measured = study.trials[study.trials["trial_id"].isin(list(places))]
    if measured.empty:
        return [], []
    layout = curve_layout(study, measured)
    charts: list[Chart] = []
    for number, group in enumerate(layout.groups, start=1):
        figure = Figure(study, layout, _runs(study, measured, layout, group, places), study.describe(group))
        drawn = filter(None, map(figure.chart, TOPICS))
        charts += [chart if number == 1 else replace(chart, name=f"{chart.name}-{number}") for chart in drawn]
    return charts, list(layout.left_out)


def _runs(
    study: Study,
    trials: pd.DataFrame,
    layout: Layout,
    group: Mapping[str, Any],
    rows: Mapping[Any, Any],
) -> dict[Place, Runs]:
    """The curves of each (panel, colour, style) cell of a group; ``rows`` are the places of each trial's metrics."""
    axes = (layout.panel, layout.colour, layout.style)
    wanted = [(column, {value}) for column, value in group.items()]
    wanted += [(axis.setting, set(axis.values)) for axis in axes if axis.setting]
    for column, values in wanted:
        trials = trials[[value in values for value in trials[column]]]
    by = [trials[axis.setting].tolist() if axis.setting else [None] * len(trials) for axis in axes]
    cells: dict[Place, list[int]] = {}
    for position, key in enumerate(zip(*by, strict=True)):
        cells.setdefault(key, []).append(position)
    columns = ["trial_id", *(f"{end}_at" for end in ENDS), *({GAMMA, OBJECTIVE} & set(trials.columns))]
    runs = {}
    for key, positions in cells.items():
        set_here = {axis.setting: value for axis, value in zip(axes, key, strict=True) if axis.setting}
        where = study.describe({**set_here, **group})
        own = trials[columns].iloc[positions]
        logged = study.metrics.take(np.concatenate([rows[trial] for trial in own["trial_id"]]))
        runs[key] = _of_cell(own, logged, where)
    return runs


def _of_cell(trials: pd.DataFrame, logged: pd.DataFrame, where: str) -> Runs:
    marks = [(end, float(step)) for end in ENDS for step in trials[f"{end}_at"].dropna()]
    gammas = set(trials[GAMMA].dropna()) if GAMMA in trials else set()
    targets = {GAMMA: float(gammas.pop())} if len(gammas) == 1 else {}
    label = "; ".join(filter(None, (where, _trials(trials["trial_id"].tolist()))))
    return Runs(logged, marks, targets, label)


def _trials(ids: Sequence[str]) -> str:
    """The trials of a line, as many as are named in a breath."""
    if len(ids) == 1:
        return f"trial {ids[0]}"
    named = ", ".join(short_id(one) for one in ids[:NAMED])
    return f"mean of trials {named}{f' and {len(ids) - NAMED} more' if len(ids) > NAMED else ''}"


@dataclass(frozen=True)
class Figure:
    """What the charts of one group of settings are drawn from; ``where`` names the group."""

    study: Study
    layout: Layout
    runs: Mapping[Place, Runs]
    where: str = ""

    def chart(self, topic: Topic) -> Chart | None:
        """The topic's quantities that some cell has, in panels that have some of them; None when there are none."""
        quantities = [one for one in topic.quantities if any(runs.has(one.column) for runs in self.runs.values())]
        runs = {key: drawn for key, drawn in self.runs.items() if any(drawn.has(one.column) for one in quantities)}
        if not runs:
            return None
        drawn = replace(self, runs=runs)
        furthest = max([1.0, *(one.furthest for one in runs.values())])
        rows = [drawn._row(quantity, furthest) for quantity in quantities]
        rows[-1] = replace(rows[-1], panels=tuple(replace(panel, across="step") for panel in rows[-1].panels))
        return Chart(
            topic.name,
            f"{topic.title}, {self.where}" if self.where else topic.title,
            drawn._alt(quantities),
            drawn._caption(topic, quantities, rows),
            tuple(rows),
            tuple(drawn._legend(quantities)),
        )

    def _row(self, quantity: Quantity, furthest: float) -> PanelRow:
        """A panel for each value of the panel's setting with which the quantity was measured."""
        values = [one for one in self.layout.panel.values if self._has(quantity, one)]
        panels = [self._panel(quantity, value, furthest) for value in values]
        scales = [quantity.log or spans_decades(_values(panel)) for panel in panels]
        if quantity.shared:
            scales = [quantity.log or spans_decades(v for panel in panels for v in _values(panel))] * len(panels)
        drawn = (
            replace(panel, log_y=log, limits=None if log else quantity.limits)
            for panel, log in zip(panels, scales, strict=True)
        )
        return PanelRow(tuple(drawn), quantity.shared)

    def _has(self, quantity: Quantity, panel: Any) -> bool:
        return any(key[0] == panel and runs.has(quantity.column) for key, runs in self.runs.items())

    def _panel(self, quantity: Quantity, panel: Any, furthest: float) -> Panel:
        series, marks, targets = [], [], []
        banded = self._lines(panel) <= BANDS
        few = len(self.layout.colour.values) * len(self.layout.style.values) <= 4
        for colour, dashes, runs in self._styled(panel):
            line = band(runs.rows, quantity.column)
            if line.empty:
                continue
            low, high = (line[end].tolist() if banded and runs.trials > 1 else None for end in ("low", "high"))
            marker = "o" if quantity.markers or len(line) == 1 else ""
            series.append(
                Series(line["step"].tolist(), line["mean"].tolist(), low, high, colour, dashes, marker=marker,
                       band_opacity=0.18 if few else 0.09, label=runs.label, over=runs.over(line["step"]))
            )  # fmt: skip
            marks += [Mark(step, MARKERS[end], colour) for end, step in runs.marks]
            if quantity.target and quantity.target in runs.targets:
                targets.append((runs.targets[quantity.target], colour))
        title = self._title(panel)
        limits = (-0.01 * furthest, 1.01 * furthest)
        return Panel(
            tuple(series), title, up=quantity.label, x_limits=limits, marks=tuple(marks), targets=tuple(targets)
        )

    def _styled(self, panel: Any) -> Iterator[tuple[str, str, Runs]]:
        """The cells of a panel with the colour and the style of each."""
        for tint, colour in zip(PALETTE, self.layout.colour.values, strict=False):
            for dashes, style in zip(DASHES, self.layout.style.values, strict=False):
                if runs := self.runs.get((panel, colour, style)):
                    yield tint, dashes, runs

    def _lines(self, panel: Any) -> int:
        """How many of the cells are drawn in one panel."""
        return sum(key[0] == panel for key in self.runs)

    def _title(self, panel: Any) -> str:
        column = self.layout.panel.setting
        if not column:
            return ""
        return text.setting(panel) if self.study.name(column) == "objective" else self.study.describe({column: panel})

    def _legend(self, quantities: Sequence[Quantity]) -> Iterator[Key]:
        """Entries for the colours, styles, conditions and targets that some cell has."""
        for part, axis in ((1, self.layout.colour), (2, self.layout.style)):
            drawn = {key[part] for key in self.runs}
            for place, value in enumerate(axis.values if axis.setting else ()):
                if axis.setting and value in drawn:
                    colour, dashes = (PALETTE[place], DASHES[0]) if part == 1 else (GREY, DASHES[place])
                    yield Key(self.study.describe({axis.setting: value}), colour, dashes=dashes)
        for end in self._met:
            yield Key(f"{end} here", GREY, MARKERS[end])
        for target in dict.fromkeys(one.target for one in quantities if one.target):
            if any(target in runs.targets for runs in self.runs.values()):
                yield Key(f"{self.study.name(target)}, the target", GREY, dashes="dotted", width=1.3)

    @property
    def _met(self) -> list[str]:
        """The conditions that some run has met."""
        return [end for end in ENDS if any(end == met for runs in self.runs.values() for met, _ in runs.marks)]

    def _alt(self, quantities: Sequence[Quantity]) -> str:
        words = [f"{text.listing(one.label for one in quantities)} against the training step"]
        axes = (self.layout.panel, self.layout.colour, self.layout.style)
        for part, (axis, role) in enumerate(zip(axes, ("a panel", "a colour", "a line style"), strict=True)):
            if axis.setting:
                drawn = {key[part] for key in self.runs}
                values = text.listing(text.setting(value) for value in axis.values if value in drawn)
                words.append(f"{role} for each {self.study.name(axis.setting)} ({values})")
        words += [f"marks where runs were {text.listing(self._met)}"] if self._met else []
        return "; ".join([*words, *filter(None, [self.where])]) + ". The last values are in the trials table."

    def _caption(self, topic: Topic, quantities: Sequence[Quantity], rows: Sequence[PanelRow]) -> str:
        kinds = set(self.study.trials[OBJECTIVE]) if OBJECTIVE in self.study.trials else set()
        words = [
            topic.shows,
            *(one.shows for one in quantities),
            *(note for kind, note in topic.notes if kind in kinds),
        ]
        logarithmic = [panel for row in rows for panel in row.panels if panel.log_y]
        if any(value < FLOOR for panel in logarithmic for value in _values(panel)):
            words.append(f"Values under {FLOOR:.0e} are drawn there.")
        most = max(runs.trials for runs in self.runs.values())
        words.append("One trial a line." if most <= 1 else SEEDS)
        if most > 1 and max(self._lines(panel) for panel in {key[0] for key in self.runs}) > BANDS:
            words.append(f"Panels of more than {BANDS} lines are without bands.")
        if max(runs.longest for runs in self.runs.values()) > POINTS:
            words.append(f"Points are means over a {POINTS}th of the run.")
        if self._met:
            words.append(
                f"A tick from below marks the step at which a run {text.listing(map(_verb, self._met), 'or')}."
            )
        return " ".join(filter(None, words))


def _verb(condition: str) -> str:
    return "was saturated" if condition == "saturated" else condition


def _values(panel: Panel) -> Iterator[float]:
    for series in panel.series:
        yield from series.values()
