"""Figures of searches in the latent space: losses over the steps, errors by frequency, an encoder's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from orchestrator.report import text
from orchestrator.report.canvas import (
    PALETTE,
    TITLE,
    dress,
    figure_of,
    label,
    legend_of,
    literal,
    panels_of,
    png_of,
    size_of,
)
from orchestrator.report.drawings import Drawing
from orchestrator.report.figures import FLOOR
from orchestrator.report.inversion import ENCODER_KIND, KIND, chosen_of, single_of
from orchestrator.report.plots import Line, Panel, plot
from orchestrator.report.tables import evenly
from orchestrator.report.verdicts import LARGEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from orchestrator.report.results import Results
    from orchestrator.report.runs import RunCell, Runs

CELLS = 3
"""Cells whose losses are drawn."""
EXAMPLES = 3
"""Images all of whose restarts are drawn."""
EVERY = "all images"
BEST, SINGLE = "best of all restarts", "first restart alone"
SEARCHES = {"random": "from a random start", "refined": "from the encoder's answer"}
_TICKS = 8


@dataclass
class LossPanel:
    """Losses over steps: ``bands`` hold what lines and bands summarise, ``lines`` single curves, by their names.

    Curves have step and loss; of a name's lines that of the chosen restart is thick.
    """

    title: str
    bands: dict[str, pd.DataFrame] = field(default_factory=dict)
    lines: dict[str, list[tuple[pd.DataFrame, bool]]] = field(default_factory=dict)


def quantiles(curves: pd.DataFrame) -> pd.DataFrame:
    """At each step the median loss and the 10 % and 90 % quantiles: columns 0.5, 0.1, 0.9, by step."""
    over = curves.groupby("step")["loss"]
    return pd.DataFrame({share: over.quantile(share) for share in (0.1, 0.5, 0.9)})


def draw_restarts(results: Results, runs: Runs) -> Drawing | None:
    """Best restart against first one over the steps, and every restart of a few images; None without curves."""
    grid = [panels for cell in runs.cells[:CELLS] if (panels := _of_restarts(results, cell))]
    if not grid:
        return None
    drawn = text.listing(list(dict.fromkeys(name for left, _ in grid for name in left.bands)))
    return _losses(
        "inversion-losses",
        "Losses of the restarts",
        grid,
        f"Loss against the step of the search: median and 10 to 90 % band over images of the {drawn}; beside it every "
        f"restart of {text.plural(EXAMPLES, 'image')}, the chosen one thick",
        "Left: median over images and seeds, band from the 10 % to the 90 % quantile. Right: each thin line is a "
        f"restart of an image, the thick one is chosen.{_left_out(runs)}",
    )


def draw_searches(results: Results, runs: Runs) -> Drawing | None:
    """Searches from the encoder's answers against those from random starts, over the steps; None without curves."""
    panels = []
    for cell in runs.cells[:CELLS]:
        parts = [_read(results, ENCODER_KIND, "curves", *key) for key in cell.rows]
        joined = pd.concat(parts)
        bands = {told: joined[joined["method"] == method] for method, told in SEARCHES.items()}
        bands = {told: rows for told, rows in bands.items() if rows["loss"].notna().any()}
        if bands:
            panels.append(LossPanel(cell.words or EVERY, bands))
    if not panels:
        return None
    return _losses(
        "encoder-searches",
        "Searches from the encoder's answers",
        [panels],
        "Loss against the step of the search, from random starts and from the encoder's answers: median and 10 to 90 % "
        "band over images",
        f"Median over images and seeds, band from the 10 % to the 90 % quantile.{_left_out(runs)}",
    )


def draw_bands(results: Results, runs: Runs) -> Drawing | None:
    """The error of the chosen restarts by spatial frequency, of each seed; None without rows."""
    error: list[Line] = []
    share: list[Line] = []
    cells = runs.cells[: len(PALETTE)]
    for place, cell in enumerate(cells):
        sums = [
            rows.groupby("frequency")[["error", "power"]].mean().reset_index()
            for rows in (_read(results, KIND, "bands", *key) for key in cell.rows)
            if len(rows)
        ]
        points = [row for part in sums for row in part.itertuples(index=False, name=None)]
        error.append(Line.of(place, ((x, wrong) for x, wrong, _ in points), FLOOR))
        share.append(Line.of(place, ((x, wrong / power) for x, wrong, power in points if power > 0), FLOOR))
    error, share = ([line for line in lines if line.points] for lines in (error, share))
    if not error:
        return None
    across = "upper edge of the band, cycles per pixel"
    panels = [
        Panel("error / power of the image", across, tuple(share), log=True),
        Panel("error (part of MSE)", across, tuple(error), log=True),
    ]
    values = sorted({point.x for line in (*error, *share) for point in line.points})
    ticks = [(value, text.setting(round(value, 4))) for value in evenly(values, _TICKS)]
    labels = [cell.words for cell in cells]
    more = text.drawn(len(cells), len(runs.cells))
    return Drawing(
        "inversion-bands",
        "Error by spatial frequency",
        "Error of the chosen restarts by spatial frequency, relative to the images' own power and as it is, in bands "
        f"up to {text.listing(label for _, label in ticks)} cycles per pixel{_colours(labels)}.",
        "The smaller the share, the more of a band was found; at 1 the error is as large as what there was. "
        "Line: mean over seeds; band: from the least seed to the greatest. The last band also holds the diagonal "
        f"frequencies above it.{more}",
        plot(panels, labels, ticks, points=False),
        plot(panels, labels, ticks, points=False, stacked=True),
    )


def draw_training(results: Results, runs: Runs) -> Drawing | None:
    """The encoder's losses over its updates; None without rows."""
    cells = runs.cells[: len(PALETTE)]
    names = {"image_loss": "error in images", "latent_loss": "error in latent vectors"}
    lines: dict[str, list[Line]] = {name: [] for name in names}
    for place, cell in enumerate(cells):
        rows = pd.concat([_read(results, ENCODER_KIND, "training", *key) for key in cell.rows])
        for name, own in lines.items():
            known = rows[["step", name]].dropna().astype(float)
            if len(known):
                own.append(Line.of(place, known.itertuples(index=False, name=None), FLOOR))
    panels = [Panel(names[name], "updates of the encoder", tuple(own), log=True) for name, own in lines.items() if own]
    if not panels:
        return None
    values = sorted({point.x for panel in panels for line in panel.lines for point in line.points})
    ticks = [(value, text.number(int(value))) for value in evenly(values, _TICKS)]
    labels = [cell.words for cell in cells]
    return Drawing(
        "encoder-training",
        "Training of the encoder",
        f"{text.listing(panel.up for panel in panels)} against the updates of the encoder{_colours(labels)}.",
        "Each point is a mean since the one before. Line: mean over seeds; band: from the least seed to the greatest.",
        plot(panels, labels, ticks, points=False),
        plot(panels, labels, ticks, points=False, stacked=True),
    )


def _of_restarts(results: Results, cell: RunCell) -> list[LossPanel]:
    """Both panels of a cell; none where it has no curves."""
    found: dict[str, list[pd.DataFrame]] = {BEST: [], SINGLE: []}
    examples = LossPanel("every restart of a few images")
    for key, rows in cell.rows.items():
        curves = _read(results, KIND, "curves", *key).dropna(subset=["loss"])
        best = chosen_of(rows)["restart"]
        chosen = curves["restart"] == curves["image_id"].map(best)
        found[BEST].append(curves.loc[chosen, ["step", "loss"]])
        if len(single_of(rows)):
            found[SINGLE].append(curves.loc[curves["restart"] == 0, ["step", "loss"]])
        if len(curves) and not examples.lines:
            for image in list(dict.fromkeys(curves["image_id"]))[:EXAMPLES]:
                own = curves[curves["image_id"] == image].groupby("restart")
                examples.lines[f"image {image}"] = [(curve, restart == best.get(image)) for restart, curve in own]
    bands = {name: joined for name, parts in found.items() if parts and len(joined := pd.concat(parts))}
    return [LossPanel(cell.words or EVERY, bands), examples] if examples.lines else []


def _read(results: Results, kind: str, table: str, trial_id: str, evaluation_id: str) -> pd.DataFrame:
    rows = results.further(kind, table, trial_id)
    floats = rows.select_dtypes("float").columns  # no axis has room for more than that
    rows[floats] = rows[floats].where(rows[floats].abs() < LARGEST)
    return rows[rows["evaluation_id"] == evaluation_id]


def _losses(name: str, title: str, grid: Sequence[Sequence[LossPanel]], alt: str, caption: str) -> Drawing:
    cells = [panel.title for row in grid for panel in row if panel.bands and panel.title != EVERY]
    where = f"; panels for {'; '.join(cells)}" if cells else ""
    return Drawing(name, title, f"{alt}{where}.", caption, _draw(grid, stacked=False), _draw(grid, stacked=True))


def _draw(grid: Sequence[Sequence[LossPanel]], *, stacked: bool) -> bytes:
    columns = len(grid[0])
    figure = figure_of(*size_of([columns] * len(grid), stacked=stacked))
    places = panels_of(figure, [columns] * len(grid), stacked=stacked)
    names = dict.fromkeys(name for row in grid for panel in row for name in panel.bands)
    looks = {name: PALETTE[place] for place, name in enumerate(names)}
    for row, drawn in zip(grid, places, strict=True):
        for panel, axes in zip(row, drawn, strict=True):
            _panel(axes, panel, looks)
        low, high = min(axes.get_ylim()[0] for axes in drawn), max(axes.get_ylim()[1] for axes in drawn)
        for axes in drawn:
            axes.set_ylim(low, high)
    legend_of(figure, [Line2D([], [], color=tint, linewidth=2, label=name) for name, tint in looks.items()])
    return png_of(figure)


def _panel(axes: Axes, panel: LossPanel, looks: Mapping[str, str]) -> None:
    dress(axes)
    for name, curves in panel.bands.items():
        band, tint = quantiles(curves).clip(lower=FLOOR), looks[name]
        axes.fill_between(band.index, band[0.1], band[0.9], color=tint, alpha=0.18, linewidth=0)
        axes.plot(band.index, band[0.5], color=tint, linewidth=1.5)
    for tint, (name, lines) in zip(PALETTE[2:], panel.lines.items(), strict=False):
        for curve, chosen in lines:
            width, opacity = (1.8, 1.0) if chosen else (0.7, 0.6)
            losses = np.maximum(curve["loss"], FLOOR)
            axes.plot(curve["step"], losses, color=tint, linewidth=width, alpha=opacity, label=name if chosen else None)
    axes.set_yscale("log")
    axes.set_title(literal(panel.title), **TITLE)
    label(axes, "step", "loss")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _left_out(runs: Runs) -> str:
    count = len(runs.cells)
    return text.drawn(CELLS, count, more="; the table has all")


def _colours(labels: Sequence[str]) -> str:
    return f"; a colour for each of {'; '.join(labels)}" if any(labels) else ""
