"""Images sought in the latent space: the best of several starts against one, errors by class and by frequency."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orchestrator import text
from orchestrator.evaluations.inversion.settings import SHOWN, SHOWN_RESTARTS, Inversion
from orchestrator.report.blocks import PALETTE, Cell, Chart, Heading, Panel, PanelRow, Row, Section, Series, Table, Text
from orchestrator.report.cells import (
    NONE,
    count_of,
    number,
    numeric_heads,
    setting_cells,
    setting_heads,
    spread_of,
)
from orchestrator.report.kept import KEPT_NOTE, kept_table, typicality_chart
from orchestrator.report.pictures import Album
from orchestrator.report.plots import SEEDS, Point, colours, legend, panel
from orchestrator.report.searches import (
    CELLS,
    EVERY,
    MOST_PICTURES,
    TICKS,
    left_out,
    loss_chart,
    loss_panel,
    palette_of,
    read_further,
    with_median,
)
from orchestrator.study import evenly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.study import Cell as Trained
    from orchestrator.study import Study

ORDER = 80
KIND = "inversion"
CLASSES = 12
"""So many classes have a column at most."""
EXAMPLES = 3
"""Images all of whose restarts are drawn."""
BEST, SINGLE = "best of all restarts", "first restart alone"
_NOTE = (
    "For each held-out image the nearest image that the generator makes, sought from several random starts. Best is "
    "the restart of the lowest loss, first the one restart that a single search would have made{halved}. The mean "
    "over a trial's images, then over seeds, below it the least and the greatest seed where they differ; the median "
    "is over all images. Times lower: MSE of the first restart over that of the best one, of each image; the median, "
    "below it the quartiles."
)
_HALVED = ", of which nothing is known where halving dropped some"
_BY_CLASS = (
    "MSE of the best restarts of each class: the mean over a trial's images, then over seeds, below it the least and "
    "the greatest seed where they differ."
)
_TYPICAL = (
    " Typical images are no farther from the mean image of their class than half of the training images; the rank "
    "correlation is Spearman's, of that distance and the error, over images."
)
_HEADS = ("seeds", "images", "restarts", "MSE, best", "MSE, first", "times lower", "PSNR, best, dB", "PSNR, first, dB",
          "SSIM, best")  # fmt: skip


def build(study: Study) -> Section | None:
    """None where nothing was inverted."""
    table = inversion_table(study)
    if not table.rows:
        return None
    note = _NOTE.format(halved=_HALVED if study.evaluated(KIND)["dropped_at"].notna().any() else "")
    blocks: list[Block] = [Text(note, "notes", "inverted-note"), table, *_classes(study)]
    blocks += _kept(study)
    blocks += [chart for chart in (restarts_chart(study), bands_chart(study)) if chart]
    blocks += inverted_images(study).blocks("Inverted images", "inverted images")
    return Section("inversion", "Inversion", "Inversion", tuple(blocks))


def chosen_of(rows: pd.DataFrame) -> pd.DataFrame:
    """An image's restart of lowest loss, by image."""
    return rows[rows["chosen"].eq(True)].drop_duplicates("image_id").set_index("image_id")


def single_of(rows: pd.DataFrame) -> pd.DataFrame:
    """An image's first restart, by image: one random start; none at all where halving has cut some short."""
    first = rows[rows["restart"] == 0].drop_duplicates("image_id").set_index("image_id")
    return first.iloc[:0] if first["dropped_at"].notna().any() else first


def inversion_table(study: Study) -> Table:
    """A row for each cell."""
    cells = study.evaluation(KIND)
    heads = (*setting_heads(cells.heads), *numeric_heads(_HEADS))
    return Table("Inverted images", heads, tuple(map(_row, cells)), "inverted-note")


def _row(cell: Trained) -> Row:
    runs = [rows for _, _, rows in cell.runs()]
    best, single = ([pick(rows) for rows in runs] for pick in (chosen_of, single_of))
    ratios = pd.concat([one["mse"] / many["mse"] for one, many in zip(single, best, strict=True)])
    ratios = ratios[np.isfinite(ratios.to_numpy(dtype=float, na_value=np.nan))]
    low, median, high = (float(ratios.quantile(q)) for q in (0.25, 0.5, 0.75)) if len(ratios) else (0.0, 0.0, 0.0)
    quartiles = f"{text.number(low)} – {text.number(high)}"
    return Row(
        (
            *setting_cells(cell.values),
            number(len(runs)),
            count_of(len(frame) for frame in best),
            count_of(rows["restart"].nunique() for rows in runs),
            with_median([frame["mse"] for frame in best]),
            with_median([frame["mse"] for frame in single]),
            Cell(text.number(median), median, (quartiles,), "num") if len(ratios) else NONE,
            with_median([frame["psnr"] for frame in best]),
            with_median([frame["psnr"] for frame in single]),
            with_median([frame["ssim"] for frame in best]),
        )
    )


def _classes(study: Study) -> list[Block]:
    table, more = class_table(study)
    if not table:
        return []
    words = f"{_BY_CLASS} {more} further classes are in evaluations/inversion/." if more else _BY_CLASS
    return [Heading("Error by class"), Text(words, "notes", "classes-note"), table]


def class_table(study: Study) -> tuple[Table | None, int]:
    """The error of the chosen restarts by class, and how many classes have no column; None where images have none."""
    cells = study.evaluation(KIND)
    best = [(cell, [chosen_of(rows) for _, _, rows in cell.runs()]) for cell in cells]
    labels = sorted({int(label) for _, frames in best for rows in frames for label in rows["label"].dropna()})
    if not labels:
        return None, 0
    rows = []
    for cell, frames in best:
        means = [frame.groupby("label")["mse"].mean() for frame in frames]
        errors = (spread_of(mean[label] for mean in means if label in mean) for label in labels[:CLASSES])
        rows.append(Row((*setting_cells(cell.values), *errors)))
    heads = (*setting_heads(cells.heads), *numeric_heads(f"class {label}" for label in labels[:CLASSES]))
    return Table("Error by class", heads, tuple(rows), "classes-note"), max(0, len(labels) - CLASSES)


def _kept(study: Study) -> list[Block]:
    """What the chosen restarts keep of an image, and their error by its typicality."""
    cells = study.evaluation(KIND)
    table = kept_table(cells, chosen_of, "kept-note")
    if not table:
        return []
    chart = typicality_chart(cells, chosen_of)
    words = f"{KEPT_NOTE}{_TYPICAL if chart else ''}"
    return [Heading("What is kept"), Text(words, "notes", "kept-note"), table, *([chart] if chart else [])]


def restarts_chart(study: Study) -> Chart | None:
    """Best restart against first one over the steps, and every restart of a few images; None without curves."""
    cells = study.evaluation(KIND)
    looks = palette_of([BEST, SINGLE])
    rows = [panels for cell in cells.first(CELLS) if (panels := _restarts(study, cell, looks))]
    if not rows:
        return None
    colours_drawn = {series.colour for left, _ in rows for series in left.series}
    names = text.listing([name for name, colour in looks.items() if colour in colours_drawn])
    return loss_chart(
        "inversion-losses",
        "Losses of the restarts",
        rows,
        looks,
        f"Loss against the step of the search: median and 10 to 90 % band over images of the {names}; beside it every "
        f"restart of {text.plural(EXAMPLES, 'image')}, the chosen one thick",
        "Left: median over images and seeds, band from the 10 % to the 90 % quantile. Right: each thin line is a "
        f"restart of an image, the thick one is chosen.{left_out(cells)}",
    )


def _restarts(study: Study, cell: Trained, looks: dict[str, str]) -> list[Panel]:
    """Both panels of a cell; none where it has no curves."""
    parts: dict[str, list[pd.DataFrame]] = {BEST: [], SINGLE: []}
    examples: list[Series] = []
    for trial, evaluation, rows in cell.runs():
        curves = read_further(study, KIND, "curves", trial, evaluation).dropna(subset=["loss"])
        best = chosen_of(rows)["restart"]
        chosen = curves["restart"] == curves["image_id"].map(best)
        parts[BEST].append(curves.loc[chosen, ["step", "loss"]])
        if len(single_of(rows)):
            parts[SINGLE].append(curves.loc[curves["restart"] == 0, ["step", "loss"]])
        if len(curves) and not examples:
            examples = [*_examples(curves, best)]
    bands = {name: joined for name, curves_of in parts.items() if curves_of and len(joined := pd.concat(curves_of))}
    if not examples:
        return []
    beside = Panel(tuple(examples), "every restart of a few images", "step", "loss", log_y=True)
    return [loss_panel(cell.title or EVERY, bands, looks), beside]


def _examples(curves: pd.DataFrame, best: pd.Series[int]) -> Sequence[Series]:
    """Every restart of the first images, that which is chosen thick."""
    series = []
    for colour, image in zip(PALETTE[2:], list(dict.fromkeys(curves["image_id"]))[:EXAMPLES], strict=False):
        for restart, curve in curves[curves["image_id"] == image].groupby("restart"):
            line = Series(curve["step"].tolist(), curve["loss"].tolist(), colour=colour, width=0.7, opacity=0.6)
            if restart == best.get(image):
                line = replace(line, width=1.8, opacity=1.0, name=f"image {image}")
            series.append(line)
    return series


def bands_chart(study: Study) -> Chart | None:
    """The error of the chosen restarts by spatial frequency, of each seed; None without rows."""
    every = study.evaluation(KIND)
    cells = every.first(len(PALETTE))
    error: list[list[Point]] = []
    share: list[list[Point]] = []
    for cell in cells:
        points = []
        for trial, evaluation, _ in cell.runs():
            rows = read_further(study, KIND, "bands", trial, evaluation)
            if len(rows):
                sums = rows.groupby("frequency")[["error", "power"]].mean().reset_index().astype(float)
                points += list(sums.itertuples(index=False, name=None))
        error.append([Point(x, wrong) for x, wrong, _ in points])
        share.append([Point(x, wrong / power) for x, wrong, power in points if power > 0])
    values = sorted({point.x for line in (*error, *share) for point in line if point.is_drawn})
    if not values:
        return None
    across = "upper edge of the band, cycles per pixel"
    ticks = [(value, text.setting(round(value, 4))) for value in evenly(values, TICKS)]
    panels = [
        panel("error / power of the image", across, share, ticks, log=True),
        panel("error (part of MSE)", across, error, ticks, log=True),
    ]
    labels = [cell.title for cell in cells]
    return Chart(
        "inversion-bands",
        "Error by spatial frequency",
        "Error of the chosen restarts by spatial frequency, relative to the images' own power and as it is, in bands "
        f"up to {text.listing(label for _, label in ticks)} cycles per pixel{colours(labels)}.",
        "The smaller the share, the more of a band was found; at 1 the error is as large as what there was. "
        f"{SEEDS} The last band also holds the diagonal frequencies above it."
        f"{text.drawn(len(cells), len(every))}",
        (PanelRow(tuple(panels)),),
        legend(labels),
    )


def inverted_images(study: Study) -> Album:
    """Of each trial the picture of its first images, the first trials' only."""
    album = Album(study.store, most=MOST_PICTURES)
    for cell in study.evaluation(KIND):
        for trial, evaluation, rows in cell.runs():
            restarts = min(SHOWN_RESTARTS, rows["restart"].nunique())
            images = text.plural(min(SHOWN, rows["image_id"].nunique()), "held-out image")
            columns = f"the image, the best restart, then {text.plural(restarts, 'restart')}"
            title = f"Inversion{', ' if cell.title else ''}{cell.title}"
            alt = f"{title}: {images}, a row each; columns from the left: {columns}."
            album.add(Inversion.picture_of(evaluation, trial, "gallery-0000"), trial, title, alt)
    return album
