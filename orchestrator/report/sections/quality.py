"""Measures of samples: tables over seeds, and figures against settings and against truncation."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator import text
from orchestrator.evaluations.quality.settings import NEAREST, Quality
from orchestrator.evaluations.sharpness.settings import Sharpness
from orchestrator.report.blocks import PALETTE, Chart, Heading, PanelRow, Row, Section, Table, Text
from orchestrator.report.cells import MEANS, count_of, number, numeric_heads, seen_by, setting_cells, setting_heads
from orchestrator.report.cells import spread_of as spread
from orchestrator.report.kept import there
from orchestrator.report.measured import measured_table
from orchestrator.report.pictures import Album
from orchestrator.report.plots import SEEDS, Point, colours, legend, panel
from orchestrator.study import COLUMNS, ENDS, evenly
from orchestrator.study.study import conditions, variants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.blocks import Block, Cell
    from orchestrator.study import Cells, Study

ORDER = 50
WHILE_TRAINING = ("fid", "modes", "class_kl", "diversity", "best_fid", "best_step")
"""What was measured while training, as the trials' rows have it."""
JUDGED = (
    "fid",
    "kid",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "modes",
    "class_kl",
    "diversity",
)
"""What an evaluation of kind ``quality`` measures."""
FURTHER = ("fid_infinity", "fid_held_out", "kid_held_out", "inception_score_mean", "copying", "copying_score")
"""What it measures beside: other ways of the same, held-out images, and whether training images are repeated."""
_MEANT_BY = {
    "fid_infinity": "FID of infinite samples is that of a line through the FIDs of parts of the samples; compare it "
    "where numbers of samples differ.",
    "fid_held_out": "Held-out images are those that no trial trains on; as they are fewer, FID to them is higher, and "
    "KID alone compares with that to the training images.",
    "inception_score_mean": "IS is cited as the mean of ten splits, its standard deviation below.",
    "copying": "Copying is the chance that a sample is nearer to a training image than a held-out image is: 0.5 for a "
    "fair sample, 1 for copies. Its score is far below 0 where that is no chance.",
}
AGAINST = ("fid", "modes", "diversity")
TRUNCATED = ("fid", "precision", "recall", "modes", "diversity")
_SHOWS = {"precision": "precision (quality)", "recall": "recall (variety)"}
WITHIN = ("evaluation.truncation",)
"""Settings of an evaluation that its rows tell one by one."""
AXES = 6
"""Numeric settings that quality is drawn against, the first of the grid."""
TICKS = 16
_TOLD_BY = {
    ("precision", "density"): "how real samples look",
    ("recall", "coverage"): "how much of the data they reach",
}
_NEAREST = (
    "Above, of the first samples those that are nearest to a training image in the space of features; below, that "
    "image. Pairs that are the same are copies."
)
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


def build(study: Study) -> Section | None:
    """None where samples were never measured."""
    tables = [*_evaluated(study), *_while_training(study), *_sharpness(study)]
    if not tables:
        return None
    pictures = nearest_images(study).blocks(
        "Samples and the training images nearest to them", "nearest images", _NEAREST
    )
    blocks: list[Block] = [*tables, *charts_against(study), *pictures]
    if chart := truncation_chart(study):
        note = Text("The same by threshold; “not set” is the plain normal.", "notes", "truncated-note")
        table = truncated_table(study)
        blocks += [chart, note, *([table] if table else [])]
    return Section("quality", "Quality of samples", "Quality", tuple(blocks))


def _evaluated(study: Study) -> list[Block]:
    table = evaluated_table(study)
    if not table:
        return []
    names = {head.words for head in table.heads}
    words = [f"Samples from the plain normal. {MEANS} Of one trial, below it the 95 % interval over samples."]
    if lower := [name for name in ("FID", "KID") if name in names]:
        falls = ", and FID falls with the number of samples" if "FID" in names else ""
        words.append(f"{text.listing(lower)}: lower is better{falls}.")
    for pair, meaning in _TOLD_BY.items():
        if there := [name for name in pair if name in names]:
            verb = "tell" if len(there) > 1 else "tells"
            words.append(f"{text.listing(there).capitalize()} {verb} {meaning}.")
    words.append(seen_by(_plain(study)["features"].dropna()))
    note = Text(" ".join(filter(None, words)), "notes", "judged-note")
    return [Heading("Evaluated after training"), note, table, *_further(study)]


def _further(study: Study) -> list[Block]:
    """The measures beside, with what they mean; nothing of results that have none."""
    table = further_table(study)
    if not table:
        return []
    shown = _plain(study)
    words = [meaning for column, meaning in _MEANT_BY.items() if shown[column].notna().any()]
    return [Heading("Beyond the training images"), Text(" ".join(words), "notes", "further-note"), table]


def _while_training(study: Study) -> list[Block]:
    table = trained_table(study)
    if not table:
        return []
    words = [f"The last measure of each trial that ended. {MEANS}"]
    shown = [COLUMNS[column] for column in WHILE_TRAINING if study.ended[column].notna().any()]
    sides = {side: [one.label for one in shown if one.better == side] for side in ("lower", "higher")}
    words += [f"{side.capitalize()} is better: {text.listing(labels)}." for side, labels in sides.items() if labels]
    if any(head.words == "diversity" for head in table.heads):
        words.append("Diversity is the mean distance between two samples over that between two images of the data.")
    words.append(seen_by("classifier:" + study.ended["classifier"].dropna()))
    note = Text(" ".join(filter(None, words)), "notes", "looked-note")
    return [Heading("Measured while training"), note, table]


def _sharpness(study: Study) -> list[Block]:
    headings = Sharpness.headings()
    cells = study.evaluation("sharpness")
    shown = ("ratio", "sharpness", "real", "salt_and_pepper", "salt_and_pepper_real", "pixelation", "pixelation_real")
    measures = there(cells.frame, {name: headings[name] for name in shown})
    table = measured_table(cells, "Sharpness of samples", "sharpened-note", measures)
    words = (
        "Sharpness is the mean variance of the Laplacian over an image's pixels: low for what is blurred, high for "
        "what is noisy. Salt and pepper is the share of pixels that differ from the median of the 3x3 around them by "
        "more than a quarter of white, pixelation the standard deviation of the noise from one pixel to the next."
    )
    return [Heading("Sharpness of samples"), Text(words, "notes", "sharpened-note"), table] if table else []


def trained_table(study: Study) -> Table | None:
    """What was last measured while training, over the trials that ended; None when nothing was."""
    return _table(
        study.cells(study.ended), WHILE_TRAINING, "Quality of samples, measured while training", "looked-note"
    )


def evaluated_table(study: Study) -> Table | None:
    """What evaluations measured of samples from the plain normal; None when nothing was."""
    cells = study.evaluation("quality", WITHIN, _plain(study))
    return _table(cells, JUDGED, "Quality of samples, evaluated", "judged-note")


def further_table(study: Study) -> Table | None:
    """What they measured of the same samples beside; None when nothing was."""
    cells = study.evaluation("quality", WITHIN, _plain(study))
    return _table(cells, FURTHER, "Samples beyond the training images", "further-note")


def nearest_images(study: Study) -> Album:
    """For each cell the picture of the first seed: samples above, the training image nearest to each below.

    Rows of before there were pictures do not say whether weights were averaged.
    """
    album = Album(study.store)
    rows = _plain(study)
    for cell in study.evaluation("quality", WITHIN, rows[rows["averaged"].notna()]):
        trial, evaluation = cell.of_first_seed()[["trial_id", "evaluation_id"]].iloc[0]
        alt = f"{cell.title or 'all trials'}: samples, the nearest training images below."
        album.add(Quality.picture_of(evaluation, trial, NEAREST), trial, cell.title, alt)
    return album


def truncated_table(study: Study) -> Table | None:
    """What they measured by the threshold to which the latent normal was truncated; None when it never was."""
    rows = _truncated(study)
    rows = rows.assign(truncation=rows["truncation"].astype(object).where(rows["truncation"].notna(), None))
    cells = study.evaluation("quality", WITHIN, rows, ["truncation"])
    return _table(cells, JUDGED, "Quality of samples by truncation threshold", "truncated-note")


def _label(column: str) -> str:
    """What a measure of trials or of quality is called."""
    return Quality.headings().get(column) or COLUMNS[column].heading


def _table(cells: Cells, measures: Sequence[str], label: str, note: str) -> Table | None:
    shown = [column for column in measures if cells.frame[column].notna().any()]
    if not shown:
        return None
    counted = "samples" in cells.frame and bool(cells.frame["samples"].notna().any())
    rows = [
        Row(
            (
                *setting_cells(cell.values),
                _seeds(cell.rows),
                *([count_of(cell.rows["samples"].dropna())] if counted else []),
                *(_measure(cell.rows, column) for column in shown),
            )
        )
        for cell in cells
        if cell.rows[shown].notna().any(axis=None)
    ]
    numbers = ["seeds", *(["samples"] if counted else []), *map(_label, shown)]
    return Table(label, (*setting_heads(cells.heads), *numeric_heads(numbers)), tuple(rows), note)


def _measure(rows: pd.DataFrame, column: str) -> Cell:
    """The spread over seeds; of one row its interval, and below a mean over splits their deviation."""
    found = spread(rows[column].astype(float))
    ends = [f"{column}_low", f"{column}_high"]
    if len(rows) == 1 and set(ends) <= set(rows) and rows[ends].notna().all(axis=None):
        low, high = rows[ends].iloc[0]
        return replace(found, small=(*found.small, f"95 %: {text.number(low)} – {text.number(high)}"))
    if column == "inception_score_mean" and rows["inception_score_sd"].notna().any():
        return replace(found, small=(*found.small, f"± {text.number(float(rows['inception_score_sd'].mean()))}"))
    return found


def _seeds(rows: pd.DataFrame) -> Cell:
    """How many trials there are, and how many of them met each condition."""
    met = {end: int(rows[f"{end}_at"].notna().sum()) for end in ENDS}
    small = ", ".join(f"{count} {end}" for end, count in met.items() if count)
    return replace(number(rows["trial_id"].nunique()), small=(small,) if small else ())


def _plain(study: Study) -> pd.DataFrame:
    rows = study.evaluated("quality")
    return rows[rows["truncation"].isna()]


def _truncated(study: Study) -> pd.DataFrame:
    """All rows of the trials that have some of truncated latents."""
    rows = study.evaluated("quality")
    return rows[rows["trial_id"].isin(set(rows["trial_id"][rows["truncation"].notna()]))]


def last_measures(study: Study) -> pd.DataFrame:
    """One row a trial with its settings and last measures: of its evaluations where there are any, else of training.

    Never of both: FIDs of unequal numbers of samples do not compare.
    """
    rows = _plain(study)
    if rows.empty:
        return study.ended
    differing = variants(rows, WITHIN)
    if differing:
        rows = rows[(rows[differing] == rows[differing].iloc[0]).all(axis=1)]
    return rows.drop_duplicates("trial_id", keep="last")


def numeric_axes(study: Study) -> list[str]:
    """The varying settings whose levels are all numbers."""
    axes = []
    for column in study.factors:
        values = study.levels(column)
        if len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            axes.append(column)
    return axes


def charts_against(study: Study) -> list[Chart]:
    """A figure for each numeric axis of the grid: the last measures against it, seeds as points, cells as colours."""
    rows = last_measures(study)
    shown = _measured(rows, AGAINST)
    axes = numeric_axes(study)[:AXES] if shown else []
    charts = (_against(study, rows, axis, shown) for axis in axes)
    return [chart for chart in charts if chart]


def _against(study: Study, rows: pd.DataFrame, axis: str, shown: Mapping[str, str]) -> Chart | None:
    values = [value for value in study.levels(axis, rows) if isinstance(value, int | float)]
    if len(values) < 2:
        return None
    every = study.cells(rows, [column for column in study.factors if column != axis])
    cells, name = every.first(len(PALETTE)), study.name(axis)
    ticks = [(float(value), text.setting(value)) for value in evenly(values, TICKS)]
    lines = {column: _lines(cells, axis, column) for column in shown}
    panels = [panel(label, name, lines[column], ticks, points=True) for column, label in shown.items()]
    labels = [cell.title for cell in cells]
    source = "Measured while training; the last value of each trial."
    if len(study.evaluations["quality"]):
        source = "Measured by the evaluations, of the plain normal."
    met = {point.condition for drawn in lines.values() for line in drawn for point in line}
    return Chart(
        f"quality-against-{_NO_NAME.sub('-', name)}",
        f"Quality against {name}",
        f"{text.listing(shown.values())} against {name} ({text.listing(label for _, label in ticks)})"
        f"{colours(labels)}. The values are in the tables.",
        f"Each point is a trial, each line joins the means over seeds. {source}{_drawn(every)}",
        (PanelRow(tuple(panels)),),
        legend(labels, met),
    )


def truncation_chart(study: Study) -> Chart | None:
    """Quality and diversity against the threshold to which the latent normal was truncated; None without any."""
    rows = _truncated(study)
    thresholds = sorted(set(rows["truncation"].dropna()))
    shown = _measured(rows, TRUNCATED)
    if not thresholds or not shown:
        return None
    # The plain normal is the limit of large thresholds: it stands to their right.
    step = float(np.median(np.diff(thresholds))) if len(thresholds) > 1 else max(0.5, thresholds[0])
    plain = thresholds[-1] + step
    every = study.evaluation("quality", WITHIN, rows.assign(place=rows["truncation"].fillna(plain).astype(float)))
    cells = every.first(len(PALETTE))
    ticks = [*((value, text.setting(value)) for value in thresholds), (plain, "none")]
    across = "truncation threshold"
    panels = [panel(label, across, _lines(cells, "place", column), ticks) for column, label in shown.items()]
    labels = [cell.title for cell in cells]
    return Chart(
        "truncation",
        "Quality against diversity: truncation",
        f"{text.listing(shown.values())} against the truncation threshold "
        f"({text.listing(label for _, label in ticks)}){colours(labels)}.",
        "Latent vectors from the normal truncated to [-t, t]: a low threshold gives up diversity for quality; "
        f"“none” is the plain normal. {SEEDS}{_drawn(every)}",
        (PanelRow(tuple(panels)),),
        legend(labels),
    )


def _measured(rows: pd.DataFrame, measures: Sequence[str]) -> dict[str, str]:
    """The labels of what was measured; of truncation, what precision and recall stand for."""
    labels = {column: _label(column) for column in measures if rows[column].notna().any()}
    return {column: _SHOWS.get(column, label) for column, label in labels.items()}


def _drawn(cells: Cells) -> str:
    """A sentence on the cells for which there is no colour."""
    return text.drawn(len(PALETTE), len(cells), more="; the tables have all")


def _lines(cells: Cells, across: str, column: str) -> list[list[Point]]:
    return [[*_points(cell.rows.to_dict("records"), across, column)] for cell in cells]


def _points(rows: Sequence[Mapping[Any, Any]], across: str, column: str) -> list[Point]:
    return [
        Point(float(row[across]), float(row[column]), next((end for end, _ in conditions(row)), ""), row["trial_id"])
        for row in rows
        if isinstance(row[across], int | float) and row[column] is not None
    ]
